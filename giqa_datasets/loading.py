"""The loading of models and data sets by name: a folder, what this machine has, or a repo on the Hub, asked once."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from difflib import get_close_matches
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Literal

from giqa_datasets.errors import GiqaError, MissingExtraError, MissingFileError, UnavailableError
from giqa_datasets.private_interfaces import cached_repos, dataset_cache, is_repo_id, nobody_asked, snake_case


Kind = Literal["dataset", "model"]
MARKS = {"dataset": ("data",), "model": ("config.json", "adapter_config.json")}  # of their folders
PATIENCE = (1.5, 10.0, 10.0, 1.5)  # seconds for the Hub to connect, answer, be written to and have a free connection


@contextmanager
def loading(
    what: str, name: str, kind: Kind = "model", *, others: Iterable[str] = (), hint: str = ""
) -> Iterator[None]:
    """Load inside what a name stands for.

    Nobody is asked about a folder or an installed data set. The Hub is asked once about what else may be a repo's
    name; where it has none or cannot be reached, the cache's copy is loaded, and nobody is asked then either.

    Args:
        what: What it is to the user, for errors: `verifier`.
        name: A folder, or a name that `load_dataset` or `from_pretrained` knows.
        kind: Of the repo.
        others: Names that the caller knows besides; the error shows those that are spelled alike.
        hint: What else can be done where it is nowhere.

    Raises:
        FileNotFoundError: If it is nowhere.
        ImportError: If a model needs yet another package.
        OSError: If a model cannot be loaded, whatever a stranger's folder or the Hub raises; or if there is no cache
            that can be written, for a data set.
    """
    if kind == "dataset":
        require_cache()
    is_folder = Path(name).is_dir()
    is_installed = kind == "dataset" and dataset_cache(name).is_dir()
    why = "" if is_folder or is_installed else _refusal(name, kind)
    if why and {name, snake_case(name)}.isdisjoint(cached_repos(kind)):
        more = nearest(name, [*others, *_here(name, kind)]) + (f"; {hint}" if hint else "")
        raise MissingFileError(
            f"{what} {name!r} is no folder here, is not installed, and cannot be fetched: {why}{more}"
        )
    try:
        with nobody_asked() if why or (is_installed and not is_folder) else nullcontext():
            yield
    except GiqaError:
        raise
    except ImportError as error:
        raise MissingExtraError(str(error)) from error
    except Exception as error:
        if kind == "dataset":  # its errors are told apart by who loads it
            raise
        said = " ".join(str(error).split()) or type(error).__name__
        if "trust_remote_code" in said:
            said = "it needs code that comes with it, and none is run"
        raise UnavailableError(f"{what} {name!r} cannot be loaded: {said[:300]}") from error


def require_cache() -> None:
    """Refuse a cache of data sets that cannot be written: the datasets library keeps all that it reads there.

    Raises:
        OSError: If it cannot be written.
    """
    from datasets import config

    folder = Path(config.HF_DATASETS_CACHE).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UnavailableError(
            f"expected a cache of data sets that can be written in {folder}, got {error.strerror!r}: HF_HOME in the "
            "environment moves it"
        ) from error


def nearest(name: str, others: Iterable[str]) -> str:
    """Write the end of an error: the names that are spelled most alike; empty if none is.

    Example:
        >>> nearest("giqa-min", ["giqa-mini", "giqa-tiny", "minilm"])
        "; nearest: 'giqa-mini', 'giqa-tiny'"
    """
    alike = get_close_matches(name, dict.fromkeys(others), n=3)
    return f"; nearest: {', '.join(map(repr, alike))}" if alike else ""


def pretrained(kind: Any, model: str, *, has_weights: bool = False, **options: Any) -> Any:
    """Load a part of a model by a class of transformers or peft: nothing that comes with it is run, nobody is asked.

    Args:
        kind: The class, such as `AutoProcessor`.
        model: A folder or a model id on the Hub.
        has_weights: Whether the part is a network; of its weights safetensors alone are read.
        options: Of the class's `from_pretrained`.

    Raises:
        OSError: If its weights are pickled, which could run code; besides, whatever the class raises.
    """
    if not has_weights:
        return kind.from_pretrained(model, trust_remote_code=False, **options)
    if Path(model).is_dir() and (pickled := _pickled_weights(Path(model))):
        raise UnavailableError(
            f"model {model!r} holds pickled weights ({pickled}), which could run code and are not loaded: whoever "
            "trusts them converts them to safetensors, with from_pretrained and save_pretrained of transformers"
        )
    return kind.from_pretrained(model, trust_remote_code=False, use_safetensors=True, **options)


def _pickled_weights(folder: Path) -> str | None:
    """Name a file of pickled weights in a folder that has no others."""
    if any(folder.glob("*.safetensors")):
        return None
    names = ("pytorch_model*.bin", "adapter_model*.bin")  # a trainer's training_args.bin holds no weights
    return next((path.name for pattern in names for path in sorted(folder.glob(pattern))), None)


def _refusal(name: str, kind: Kind) -> str:
    """Say why the Hub gives no repo of that name; empty if it has one, or answers something else.

    A data set of ours has an organization before its name.
    """
    from huggingface_hub import HfApi, is_offline_mode
    from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

    if not is_repo_id(name) or (kind == "dataset" and "/" not in name):
        return "no repo on the Hub can have that name"
    if is_offline_mode():
        return "HF_HUB_OFFLINE is set"
    briefly: dict[str, Any] = {"expand": ["sha"], "timeout": PATIENCE}
    try:
        HfApi().repo_info(name, repo_type=kind, **briefly)
    except RepositoryNotFoundError:
        return "the Hub has none, or the token may not see it"
    except HfHubHTTPError:
        return ""
    except Exception as error:  # the HTTP client's own
        return f"the Hub cannot be reached ({' '.join(str(error).split())[:100]})"
    return ""


def _here(name: str, kind: Kind) -> Iterator[str]:
    """Names of that kind that can be loaded: in the caches, and folders beside the place that was named."""
    yield from cached_repos(kind)
    place = Path(name).parent
    try:
        folders = [path for path in place.iterdir() if any((path / mark).exists() for mark in MARKS[kind])]
    except (OSError, ValueError):
        return
    yield from (str(place / path.name) for path in folders)

"""The optional packages of this package's extras, and the loading of their models."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from giqa_datasets.errors import GiqaError, MissingExtraError, UnavailableError


def require(what: str, extra: str, *packages: str) -> None:
    """Raise ImportError if an optional package is not installed, with the need and the extra that brings it.

    Example:
        >>> require("the moon needs cheese", "moon", "cheese")
        Traceback (most recent call last):
        giqa_datasets.errors.MissingExtraError: the moon needs cheese: pip install "giqa[moon]"
    """
    if not all(map(is_installed, packages)):
        raise MissingExtraError(f'{what}: pip install "giqa[{extra}]"')


def is_installed(package: str) -> bool:
    """Tell whether a package is installed, without importing it."""
    return sys.modules[package] is not None if package in sys.modules else find_spec(package) is not None


def package_folder(package: str, what: str) -> Path:
    """Find the folder of a package of the extra `demo`, without importing it; `what` is the need, for the error.

    Raises:
        ImportError: If it is not installed.
    """
    require(what, "demo", package)
    spec = find_spec(package)
    assert spec is not None
    return Path(next(iter(spec.submodule_search_locations or ())))


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


@contextmanager
def loading(unavailable: str) -> Iterator[None]:
    """Load a model inside, and turn any error that a stranger's folder raises into this sentence.

    Raises:
        ImportError: If the model needs yet another package.
        OSError: If it cannot be loaded.
    """
    try:
        yield
    except GiqaError:
        raise
    except ImportError as error:
        raise MissingExtraError(str(error)) from error
    except (OSError, ValueError) as error:
        raise UnavailableError(unavailable) from error
    except Exception as error:  # a damaged file of weights, for one
        raise UnavailableError(f"{unavailable}: {error!r:.200}") from error

"""The private interfaces of other libraries that we use, each once and with the reason.

`tests/test_private_interfaces.py` names the one that has moved. Everything is imported when it is called.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal


if TYPE_CHECKING:
    import re


def hub_client() -> Any:
    """Make a httpx client as huggingface_hub does: `set_client_factory` replaces it whole, and we only set a time."""
    from huggingface_hub.utils._http import default_client_factory

    return default_client_factory()


def is_repo_id(name: str) -> bool:
    """Tell whether huggingface_hub takes a name for a repo's; only a private module does."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils._validators import validate_repo_id

    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return True


@contextmanager
def nobody_asked() -> Iterator[None]:
    """Keep huggingface_hub, transformers and datasets from the network, as HF_HUB_OFFLINE=1 does at their import."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    copies = ("huggingface_hub.constants", "datasets.config")  # the other one may be imported meanwhile

    def keep(is_offline: bool) -> None:
        for module in filter(None, map(sys.modules.get, copies)):
            module.HF_HUB_OFFLINE = is_offline  # type: ignore[attr-defined]

    keep(True)
    try:
        yield
    finally:
        keep(before)


def cached_repos(kind: Literal["dataset", "model"]) -> list[str]:
    """Name the repos, and the installed data sets, in the caches that are read where nobody is asked.

    The datasets library writes names in snake case.
    """
    from huggingface_hub import constants

    start = f"{kind}s--"
    found = {path.parts[-3] for path in Path(constants.HF_HUB_CACHE).glob(f"{start}*/snapshots/*")}
    names = {name.removeprefix(start).replace("--", "/") for name in found}
    if kind == "dataset":
        read = {path.parts[-4] for path in _datasets_cache().glob("*/*/*/*") if path.is_dir()}
        names |= {name.replace("___", "/") for name in read if "___" in name or dataset_cache(name).is_dir()}
    return sorted(names)


def card_front_matter() -> "re.Pattern[str]":
    """Return huggingface_hub's pattern of a card's YAML, in three groups, so that an edited card keeps other bytes."""
    from huggingface_hub.repocard import REGEX_YAML_BLOCK

    return REGEX_YAML_BLOCK


INSTALLED = "giqa-install"  # the mark of the cache entries that `giqa install` makes


def dataset_cache(name: str, mark: str = INSTALLED) -> Path:
    """Return the folder in which datasets, offline, looks for the config `default` of a set that it loaded before."""
    return _datasets_cache() / snake_case(name) / "default" / "0.0.0" / mark


def snake_case(name: str) -> str:
    """Write the name of a data set as datasets does in its cache."""
    from datasets.naming import camelcase_to_snakecase

    *owner, last = name.rpartition("/")
    return "".join([*owner, str(camelcase_to_snakecase(last))])


def _datasets_cache() -> Path:
    from datasets import config

    return Path(config.HF_DATASETS_CACHE).expanduser()


def fill_dataset_cache(name: str, mark: str, shards: Mapping[str, Sequence[str]]) -> None:
    """Let datasets read Parquet files by split into `dataset_cache`; only a builder takes the `hash` of its folder."""
    from datasets.packaged_modules.parquet.parquet import Parquet

    builder = Parquet(config_name="default", config_id="default", dataset_name=name, hash=mark, data_files=shards)
    builder.download_and_prepare()


def metric_cache(name: str, mark: str) -> Path:
    """Return the folder in which evaluate, offline, looks for a metric it loaded before; `mark` has 64 characters."""
    from evaluate.loading import init_dynamic_modules

    return Path(init_dynamic_modules()) / "metrics" / f"evaluate-metric--{name}" / mark


def is_in_model(model: str, file: str) -> bool:
    """Tell whether a model's folder or repo has a file, cached or not, as transformers does before it loads one."""
    from transformers.utils.hub import cached_file

    return cached_file(model, file, _raise_exceptions_for_missing_entries=False) is not None


def is_adapter(model: str) -> bool:
    """Tell whether transformers would load an adapter of PEFT's, whose base has the processor."""
    from transformers.utils.peft_utils import find_adapter_config_file

    return find_adapter_config_file(model) is not None


def trl_parsers(trainer: str) -> tuple[Any, Any, Callable[[list[str]], list[str]]]:
    """Return the parsers of a command of TRL's: its own, accelerate's, and the function from the one's rest to it."""
    from importlib import import_module

    from accelerate.commands.launch import launch_command_parser
    from trl.cli.accelerate_config import resolve_accelerate_config_argument

    parser = import_module(f"trl.scripts.{trainer}").make_parser()
    return parser, launch_command_parser(), resolve_accelerate_config_argument


def sft_collator(**settings: Any) -> Callable[[list[dict[str, Any]]], Any]:
    """Make SFTTrainer's collator of pictures and text, so that a recipe is checked by the code that trains it."""
    from trl.trainer.sft_trainer import DataCollatorForVisionLanguageModeling

    return DataCollatorForVisionLanguageModeling(**settings)


def event_values(event: Any) -> dict[str, Any]:
    """Return the values that a page's script sent with a Gradio event; `EventData` has no public name for them."""
    values: dict[str, Any] = event._data
    return values


def into_gradio_cache(content: bytes, name: str, cache: str) -> Path:
    """Write a file to the folder that Gradio serves and later deletes, for a component that shows no picture."""
    from gradio.processing_utils import save_bytes_to_cache

    return Path(save_bytes_to_cache(content, name, cache))

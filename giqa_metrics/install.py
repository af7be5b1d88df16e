"""The cache entries with which `load_dataset("giqa-mini")` and `evaluate.load("giqa_grounding")` work from any folder.

Both libraries, offline too, fall back on their caches if a bare name is neither beside the working directory nor on
the Hub.
"""

import hashlib
import shutil
from pathlib import Path

from giqa_datasets.errors import InputError, MissingFileError
from giqa_datasets.files import naming, write_whole
from giqa_datasets.loading import require_cache
from giqa_datasets.private_interfaces import INSTALLED, dataset_cache, fill_dataset_cache, metric_cache
from giqa_metrics import METRICS
from giqa_metrics.runs.files import plain_path


# Names of the cache entries that are ours to replace and to remove
_MODULE_HASH = hashlib.sha256(INSTALLED.encode()).hexdigest()  # evaluate takes only names of 64 characters


def install(folder: Path) -> list[Path]:
    """Prime the caches for one data set folder and for the three metrics, and return the paths that were written.

    Only the config `default` is primed: with several, the bare call is ambiguous. The name to load is the folder's.

    Raises:
        FileNotFoundError: If it is no data set folder.
        ValueError: If its shards cannot be read.
    """
    return [_install_data(folder), *(_install_metric(name) for name in METRICS)]


def remove(name: str) -> list[Path]:
    """Remove the entries of `install` for a data set's name and for the metrics, and return those that existed."""
    entries = (dataset_cache(name), *(metric_cache(metric, _MODULE_HASH) for metric in METRICS))
    gone = [path for path in entries if path.exists()]
    for path in gone:
        shutil.rmtree(path)
    return gone


def _install_data(folder: Path) -> Path:
    """Let the datasets library read the folder's shards into its cache."""
    from datasets.exceptions import DatasetsError

    folder = folder.resolve()
    files: dict[str, list[str]] = {}
    shards = (plain_path(folder) / "data").glob("*.parquet")
    for shard in sorted(shards, key=lambda path: (not path.name.startswith("train-"), path.name)):
        files.setdefault(shard.name.split("-")[0], []).append(str(shard))
    if not files:
        raise MissingFileError(f"expected a data set folder with data/*.parquet at {folder}, found none")
    require_cache()
    entry = dataset_cache(folder.name)
    shutil.rmtree(entry, ignore_errors=True)  # or a rebuilt folder would not be read again
    try:
        with naming(entry):
            fill_dataset_cache(folder.name, INSTALLED, files)
    except (DatasetsError, ValueError) as error:  # pyarrow's are ValueErrors
        raise InputError(f"{folder} cannot be read as a data set: {error.__cause__ or error}") from error
    return entry


def _install_metric(name: str) -> Path:
    entry = metric_cache(name, _MODULE_HASH)
    entry.mkdir(parents=True, exist_ok=True)
    for package in (entry, *list(entry.parents)[:2]):
        (package / "__init__.py").touch()
    class_name = "".join(part.capitalize() for part in name.split("_"))
    shim = f"import evaluate\n\nfrom giqa_metrics.spaces.{name}.{name} import {class_name}\n"
    write_whole(entry / f"{name}.py", [shim])  # a fresh time stamp: evaluate takes the newest
    return entry

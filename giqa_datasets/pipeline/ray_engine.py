"""The annotation pipeline on Ray: a cluster, or the cores of this machine (extra `scale`).

A row is a window of entries. It goes through a pool of actors that reads its photographs, then through one for each of
`STEPS`; between them it travels as one pickled value. So the models get the same batches as in one process, and the
result is the same. Rows come out in any order, each as soon as it is finished.
"""

import logging
import os
import pickle
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, redirect_stdout
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from giqa_datasets.defaults import OFFLINE
from giqa_datasets.drops import Drop
from giqa_datasets.entries import load
from giqa_datasets.errors import GiqaError, UnavailableError
from giqa_datasets.extras import require
from giqa_datasets.pipeline.annotation_lines import Finished
from giqa_datasets.pipeline.annotation_run import Window, write_lines
from giqa_datasets.pipeline.model_choice import Choice, OpenModels
from giqa_datasets.pipeline.stages import STEPS, Step
from giqa_datasets.records import Record


if TYPE_CHECKING:
    import pyarrow as pa


class Pool(NamedTuple):
    """The actors of a stage, and their share of the cluster."""

    actors: int
    cpus: float  # of each actor; 0 for those that mostly wait
    gpus: float  # of each actor; less than one if several share it


class Travelling(NamedTuple):
    """A window between two stages."""

    read: list[Record]  # as they were read
    records: list[Record]  # those that are left
    drops: defaultdict[str, list[Drop]]  # by record
    unread: list[Drop]  # photographs that could not be read


class Failed(NamedTuple):
    """An error that ends the run, on its way to the driver: Ray itself would bring a traceback and lose the error."""

    kind: type[Exception]
    sentence: str


def on_ray(windows: Sequence[Window], choice: Choice) -> Iterator[Finished | Drop]:
    """Annotate on the cluster that RAY_ADDRESS names, else on one of this machine's that ends with the run.

    Raises:
        ImportError: If Ray or a model's packages are not installed.
        OSError: If a model cannot be had, or the cluster cannot be reached.
        ValueError: If the choice is not valid.
    """
    with redirect_stdout(sys.stderr), _cluster() as ray:  # Ray prints there why a worker died
        pools = pools_of(choice, ray.cluster_resources(), len(windows))
        rows = ray.data.from_arrow([_pack(number) for number in range(len(windows))])
        for works, pool in zip(_stages(ray.put(windows), choice), pools, strict=True):
            rows = rows.map_batches(
                _Stage,
                fn_constructor_args=(Path.cwd(), *works),
                batch_size=1,
                batch_format="pyarrow",
                compute=ray.data.ActorPoolStrategy(size=pool.actors),
                num_cpus=pool.cpus,
                num_gpus=pool.gpus,
            )
        # Nothing is fetched ahead: a finished window would wait for the next one
        with closing(iter(rows.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0))) as tables:
            for table in tables:
                value = _unpack(table)
                if isinstance(value, Failed):
                    raise value.kind(value.sentence)
                yield from value


def pools_of(choice: Choice, resources: Mapping[str, float], n_windows: int) -> list[Pool]:
    """Share out a cluster: the pools of reading and of each step, all of one size and never more than it can hold.

    A model that runs in an actor gets a GPU, or shares one with those of the other steps if there are too few.
    Without GPUs, stages 2 and 3 take half of the CPUs. Reading and asking a server mostly wait, and take none.
    """
    runs_llm = choice.llm != OFFLINE and choice.llm_url is None
    takes_gpu = (False, runs_llm, True, runs_llm)
    gpus, n_takers = int(resources.get("GPU", 0)), sum(takes_gpu)
    n_actors = gpus // n_takers if gpus else int(resources.get("CPU", 0)) // 2
    n_actors = max(1, min(n_actors, n_windows))
    if not gpus:
        return [Pool(n_actors, cpus, 0) for cpus in (0, 0, 1, 0)]
    share = 1 if gpus >= n_takers else 1 / n_takers
    return [Pool(n_actors, 0, share if takes else 0) for takes in takes_gpu]


@contextmanager
def _cluster() -> Iterator[Any]:
    """Use the running Ray, or start one for the block; it is kept quiet, and sends nothing anywhere."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    require("Ray is not installed", "scale", "ray")
    import ray.data

    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    ray.data.DataContext.get_current().enable_progress_bars = False
    if ray.is_initialized():
        yield ray
        return
    address = os.environ.get("RAY_ADDRESS") or "local"
    try:
        ray.init(address, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:  # Ray has no class of its own for a machine that is too slow, or a cluster that is gone
        raise UnavailableError(f"Ray cannot be started, or reached at {address!r}: {error}") from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _stages(windows: Any, choice: Choice) -> Iterator[tuple[Any, ...]]:
    *steps, last = (partial(_take, step, OpenModels(choice)) for step in STEPS)
    yield (_Reader(windows),)
    for step in steps:
        yield (step,)
    yield last, _write


class _Reader:
    def __init__(self, windows: Any) -> None:
        """Take a reference to all windows: they may hold one large index of a store."""
        self._reference = windows

    @cached_property
    def _windows(self) -> Sequence[Window]:
        import ray

        windows: Sequence[Window] = ray.get(self._reference)
        return windows

    def __call__(self, number: int) -> Travelling:
        unread: list[Drop] = []
        records = list(load(self._windows[number], unread.append))
        return Travelling(records, records, defaultdict(list), unread)


def _take(step: Step, models: OpenModels, window: Travelling) -> Travelling:
    """Take a window one step further; the first window opens the models."""
    done = step(window.records, models, lambda drop: window.drops[drop.id].append(drop), models.choice.rules)
    return window._replace(records=list(done))


def _write(window: Travelling) -> list[Finished | Drop]:
    return [*window.unread, *write_lines(window.read, window.records, window.drops)]


class _Stage:
    def __init__(self, folder: Path, *works: Any) -> None:
        """Take the driver's folder, so that a relative path means the same everywhere, and the functions to call."""
        self._folder = folder
        self._works = works

    def __call__(self, table: "pa.Table") -> "pa.Table":
        value = _unpack(table)
        if isinstance(value, Failed):
            return table
        try:
            os.chdir(self._folder)
            for work in self._works:
                value = work(value)
        except (GiqaError, OSError) as error:
            value = Failed(type(error) if isinstance(error, GiqaError) else UnavailableError, str(error))
        return _pack(value)


def _pack(value: Any) -> "pa.Table":
    import pyarrow as pa

    return pa.table({"window": pa.array([pickle.dumps(value, pickle.HIGHEST_PROTOCOL)], pa.large_binary())})


def _unpack(table: "pa.Table") -> Any:
    """Read a row back; only rows that `_pack` wrote in this run come here."""
    return pickle.loads(table["window"][0].as_buffer())

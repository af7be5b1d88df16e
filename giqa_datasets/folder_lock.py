"""A folder into which one process at a time writes."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from filelock import SoftFileLock, Timeout

from giqa_datasets.errors import UnavailableError
from giqa_datasets.files import PARTIAL, naming


LOCK = ".lock"


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Make a folder if it is not there, and keep other processes out of it.

    While it is held, a file in it names the process and its machine. What a process of this machine left behind when
    it was killed is taken over.

    Raises:
        OSError: If another process holds the folder, which is named; or if it is no folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = SoftFileLock(folder / LOCK, timeout=0)
    try:
        with naming(folder / LOCK):
            lock.acquire()
    except Timeout as error:
        raise UnavailableError(
            f"{folder} is in use{_by_whom(folder / LOCK)}: wait for it or stop it; if it is long gone, "
            f"delete {folder / LOCK}"
        ) from error
    try:
        for left in folder.glob(f".*{PARTIAL}"):  # of `files.write_all` in a process that was killed
            left.unlink()
        yield
    finally:
        lock.release()


def _by_whom(lock: Path) -> str:
    """Read the process, its machine and the time off a lock file; empty where they do not stand there."""
    try:
        process, host = lock.read_text(encoding="utf-8", errors="replace")[:1000].split("\n")[:2]
        since = datetime.fromtimestamp(lock.stat().st_mtime, UTC).isoformat(sep=" ", timespec="seconds")
    except (OSError, ValueError):
        return ""
    return f" by process {process} on {host} since {since}"

"""Progress bars on stderr."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from giqa_datasets.console import printable


if TYPE_CHECKING:
    from giqa_datasets.console import Progress


@contextmanager
def progress_bars() -> Iterator["Progress"]:
    """Show progress bars, one after the other; a bar left open would share its line with the next output."""
    from tqdm import tqdm

    with ExitStack() as bars:

        def bar(items: Iterable[Any], total: int, what: str) -> Iterable[Any]:
            bars.close()
            return bars.enter_context(tqdm(items, total=total, desc=printable(what), unit=" items", delay=0.5))

        yield bar

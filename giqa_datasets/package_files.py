"""Files that ship with the distribution, and the templates among them.

`cards/` and `recipes/` are beside the packages in a checkout.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from giqa_datasets.errors import MissingFileError


if TYPE_CHECKING:
    import jinja2


def shipped(name: str) -> Path:
    """Find such a folder: inside the package in an installed wheel, at the top of the repository in a checkout.

    Raises:
        FileNotFoundError: If it is in neither place.
    """
    package = Path(__file__).parent
    for folder in (package / name, package.parent / name):
        if folder.is_dir():
            return folder
    raise MissingFileError(f"the folder {name!r} of the giqa distribution is missing beside {package}")


def templates(folder: Path, *, is_html: bool = False) -> "jinja2.Environment":
    """Open the templates of a folder: missing names raise, and tags leave no empty lines; `is_html` escapes values."""
    import jinja2

    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=is_html,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )

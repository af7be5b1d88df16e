"""Files that ship with the distribution but stand beside the packages in a checkout: `cards/` and `recipes/`."""

from pathlib import Path


def shipped(name: str) -> Path:
    """Find such a folder: inside the package in an installed wheel, at the top of the repository in a checkout.

    Raises:
        FileNotFoundError: If it is in neither place.
    """
    package = Path(__file__).parent
    for folder in (package / name, package.parent / name):
        if folder.is_dir():
            return folder
    raise FileNotFoundError(f"the folder {name!r} of the giqa distribution is missing beside {package}")

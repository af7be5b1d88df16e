"""The optional packages of this package's extras."""

import sys
from importlib.util import find_spec
from pathlib import Path

from giqa_datasets.errors import MissingExtraError


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

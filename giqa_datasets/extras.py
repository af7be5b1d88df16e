"""The optional packages of this package's extras, and the loading of their models."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

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

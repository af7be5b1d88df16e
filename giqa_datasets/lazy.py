"""The names that a package offers, each imported only when it is asked for."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy_names(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Return a package's `__getattr__`; `homes` has the module of each name, or `module:name` if its name differs."""

    def find(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, _, its = homes[name].partition(":")
        return getattr(import_module(f"{package}.{module}"), its or name)

    return find

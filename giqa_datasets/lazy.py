"""Names that a package offers, each imported when somebody asks for it: one of them costs no other's imports."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy_names(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """A package's `__getattr__`; `homes` are its modules that define the names, `module:name` if by another name."""

    def find(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, _, its = homes[name].partition(":")
        return getattr(import_module(f"{package}.{module}"), its or name)

    return find

"""What pydantic found wrong with a line of someone's JSON, as a person would say it."""

from typing import Any

from pydantic import ValidationError


def fault_of(error: ValidationError) -> str:
    """The first fault, after the place where it stands: "regions.0.phrase: field required"."""
    return said(error.errors()[0])


def said(fault: Any) -> str:
    """One of an error's faults, as pydantic details it, after the place where it stands."""
    where = ".".join(map(str, fault["loc"]))
    where = f"{where}: " if where else ""
    if fault["type"] in ("model_type", "model_attributes_type"):  # pydantic would name a class of ours
        return f"{where}expected an object, got {type(fault['input']).__name__}"
    return f"{where}{fault['msg'][:1].lower()}{fault['msg'][1:]}"

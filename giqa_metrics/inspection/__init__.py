"""Photographs against a policy: regions with verdicts, masks, and PASS, REVIEW or FAIL."""

from importlib import import_module
from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
    from giqa_metrics.inspection.policy import Policy, Reason, Rule, Verdict, read_policy
    from giqa_metrics.inspection.verdicts import Inspection, JudgedRegion, inspect_photographs

__all__ = ["Inspection", "JudgedRegion", "Policy", "Reason", "Rule", "Verdict", "inspect_photographs", "read_policy"]

_OF_VERDICTS = ("Inspection", "JudgedRegion", "inspect_photographs")


def __getattr__(name: str) -> Any:
    """Import what is asked for, and only then: the command imports this package, and `giqa --help` answers at once."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = "verdicts" if name in _OF_VERDICTS else "policy"
    return getattr(import_module(f"{__name__}.{home}"), name)

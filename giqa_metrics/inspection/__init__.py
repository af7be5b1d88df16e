"""Photographs against a policy: regions with verdicts, masks, and PASS, REVIEW or FAIL."""

from typing import TYPE_CHECKING

from giqa_datasets.lazy import lazy_names


if TYPE_CHECKING:
    from giqa_metrics.inspection.policy import Policy, Reason, Rule, Verdict, read_policy
    from giqa_metrics.inspection.verdicts import Inspection, JudgedRegion, inspect_photographs
else:
    __getattr__ = lazy_names(
        __name__,
        {
            **dict.fromkeys(("Policy", "Reason", "Rule", "Verdict", "read_policy"), "policy"),
            **dict.fromkeys(("Inspection", "JudgedRegion", "inspect_photographs"), "verdicts"),
        },
    )

__all__ = ["Inspection", "JudgedRegion", "Policy", "Reason", "Rule", "Verdict", "inspect_photographs", "read_policy"]

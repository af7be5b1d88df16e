"""How often a policy raises a false alarm: its verdicts on photographs that are known to be good."""

from collections import Counter
from collections.abc import Collection, Sequence
from typing import NamedTuple

from giqa_metrics.inspection.files import VerdictLine
from giqa_metrics.inspection.policy import Verdict


class Share(NamedTuple):
    """A share of the photographs, in [0, 1], with its 95 % confidence interval (Wilson's).

    Attributes:
        n: How many photographs.
        share: Of all.
        low: Lower end of the interval.
        high: Upper end.
    """

    n: int
    share: float
    low: float
    high: float


class Calibration(NamedTuple):
    """False alarms on good photographs.

    Attributes:
        n: How many photographs.
        verdicts: By FAIL and REVIEW, and by `FAIL or REVIEW`.
        rules: On how many photographs each rule asked for FAIL or REVIEW, by `rule 1` or the policy's key.
    """

    n: int
    verdicts: dict[str, Share]
    rules: dict[str, int]


def calibrate(lines: Sequence[VerdictLine]) -> Calibration:
    """Count false alarms.

    Args:
        lines: Verdicts on good photographs, at least one.
    """
    alarms = {"FAIL": {Verdict.FAIL}, "REVIEW": {Verdict.REVIEW}, "FAIL or REVIEW": {Verdict.FAIL, Verdict.REVIEW}}
    rules = Counter(
        rule
        for line in lines
        for rule in {reason.rule for reason in line.reasons if reason.verdict is not Verdict.PASS}
    )
    shares = {name: _share(lines, verdicts) for name, verdicts in alarms.items()}
    return Calibration(len(lines), shares, dict(sorted(rules.items(), key=lambda item: (-item[1], item[0]))))


def _share(lines: Sequence[VerdictLine], verdicts: Collection[Verdict]) -> Share:
    """The share of some verdicts."""
    from scipy.stats import binomtest

    count = sum(line.verdict in verdicts for line in lines)
    interval = binomtest(count, len(lines)).proportion_ci(0.95, method="wilson")
    return Share(count, count / len(lines), float(interval.low), float(interval.high))

"""The false alarms of a policy: its verdicts on photographs that are known to be good."""

from collections import Counter
from collections.abc import Collection, Sequence
from typing import NamedTuple

from giqa_metrics.inspection.files import VerdictLine
from giqa_metrics.inspection.policy import Verdict


class Share(NamedTuple):
    """A share of the photographs, in [0, 1], with its 95 % confidence interval (Wilson's)."""

    n: int  # photographs
    share: float  # of all
    low: float  # end of the interval
    high: float  # end of the interval


class Calibration(NamedTuple):
    """False alarms on good photographs."""

    n: int  # photographs
    verdicts: dict[str, Share]  # by FAIL and REVIEW, and by `FAIL or REVIEW`
    rules: dict[str, int]  # photographs of which each rule asked for FAIL or REVIEW, by `rule 1` or the policy's key


def calibrate(lines: Sequence[VerdictLine]) -> Calibration:
    """Count the false alarms in verdicts on good photographs, of which there is at least one."""
    alarms = {"FAIL": {Verdict.FAIL}, "REVIEW": {Verdict.REVIEW}, "FAIL or REVIEW": {Verdict.FAIL, Verdict.REVIEW}}
    rules = Counter(
        rule
        for line in lines
        for rule in {reason.rule for reason in line.reasons if reason.verdict is not Verdict.PASS}
    )
    shares = {name: _share(lines, verdicts) for name, verdicts in alarms.items()}
    return Calibration(len(lines), shares, dict(sorted(rules.items(), key=lambda item: (-item[1], item[0]))))


def _share(lines: Sequence[VerdictLine], verdicts: Collection[Verdict]) -> Share:
    from scipy.stats import binomtest

    count = sum(line.verdict in verdicts for line in lines)
    interval = binomtest(count, len(lines)).proportion_ci(0.95, method="wilson")
    return Share(count, count / len(lines), float(interval.low), float(interval.high))

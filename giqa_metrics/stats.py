"""What every metric keeps of a sample: numbers that add up, so that sums over any samples give their scores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from giqa_datasets.errors import InputError


Table = npt.NDArray[np.float64]  # (N, S), a row per sample, a column per sum


@dataclass(frozen=True, slots=True)
class Stats:
    """Sums over samples: the statistics of a concatenation are the sum of the statistics. A subclass names them."""

    def __add__(self, other: Self) -> Self:
        """Add sums."""
        return type(self)(*(getattr(self, name) + getattr(other, name) for name in self.names()))

    @classmethod
    def names(cls) -> list[str]:
        """What is summed, in the order of a table's columns."""
        return [part.name for part in fields(cls)]

    @classmethod
    def of(cls, sums: Table) -> Self:
        """Name a row of sums, shape (S,)."""
        values = zip(fields(cls), sums.tolist(), strict=True)
        return cls(**{part.name: int(value) if part.type is int else value for part, value in values})

    @classmethod
    def rows(cls, table: Table) -> list[tuple[int | float, ...]]:
        """The rows of a table, shape (N, S), as tuples, counts as integers."""
        columns = (
            column.astype(np.int64).tolist() if part.type is int else column.tolist()
            for part, column in zip(fields(cls), table.T, strict=True)
        )
        return list(zip(*columns, strict=True))

    @classmethod
    def dicts(cls, table: Table) -> list[dict[str, Any]]:
        """The rows of a table by the names of their numbers."""
        names = cls.names()
        return [dict(zip(names, row, strict=True)) for row in cls.rows(table)]

    @classmethod
    def table(cls, rows: Sequence[Mapping[str, Any]]) -> Table:
        """Lay out the rows that a metric gives per sample; None, a score that does not exist, adds nothing.

        Raises:
            ValueError: If a row lacks a number.
        """
        for row in rows:
            if not all(name in row and isinstance(row[name] or 0, int | float) for name in cls.names()):
                raise InputError(f"expected rows with the numbers {', '.join(cls.names())}, got {row!r:.80}")
        table = np.array([[row[name] or 0 for name in cls.names()] for row in rows], dtype=np.float64)
        if not np.isfinite(table).all():
            raise InputError(f"expected finite numbers in rows of {', '.join(cls.names())}")
        return table.reshape(len(rows), len(cls.names()))


def ratio(part: float, whole: float) -> float | None:
    """A mean, or None where there is nothing to average."""
    return part / whole if whole else None

"""What every metric asks of its inputs: lists of one length, and at least one sample."""

from collections.abc import Iterable, Sized


def require_samples(**inputs: Sized) -> None:
    """Refuse lists that differ in length, or are empty.

    Raises:
        ValueError: If they do or are.

    Example:
        >>> require_samples(predictions=["a"], references=["a", "b"])
        Traceback (most recent call last):
        ValueError: expected as many predictions as references, and at least one, got 1 and 2
    """
    lengths = [len(values) for values in inputs.values()]
    if len(set(lengths)) != 1 or 0 in lengths:
        first, *others = (name.replace("_", " ") for name in inputs)
        raise ValueError(
            f"expected as many {first} as {_listed(others)}, and at least one, got {_listed(map(str, lengths))}"
        )


def _listed(words: Iterable[str]) -> str:
    """Write words with commas and a last "and"."""
    *head, last = words
    return f"{', '.join(head)} and {last}" if head else last

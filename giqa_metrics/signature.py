"""The signature of a score: everything that can move the number, in one line, after sacreBLEU."""

from giqa_datasets import __version__


def signature(metric: str, **settings: object) -> str:
    """Write a signature.

    Args:
        metric: The metric's name.
        settings: What the score depends on, in the order in which it is to stand.

    Example:
        >>> signature("giqa_vqa", judge="none").rsplit("|", 1)[0]
        'giqa_vqa|judge:none'
    """
    parts = [f"{key}:{value}" for key, value in settings.items()]
    return "|".join([metric, *parts, f"v:{__version__}"])

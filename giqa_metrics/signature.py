"""The signature of a score: everything that can move the number, in one line, after sacreBLEU."""

from functools import partial

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


def qualified(thing: object) -> str:
    """Name a user's function or object: module and qualified name, a partial with its arguments.

    What bears its name with others of its module, a lambda or a function inside a function, has its line too. The
    state of an object does not show.

    Example:
        >>> from operator import add
        >>> qualified(add), qualified(partial(add, 2)), qualified({})
        ('_operator.add', '_operator.add(2)', 'builtins.dict')
    """
    if isinstance(thing, partial):
        arguments = [*map(repr, thing.args), *(f"{name}={value!r}" for name, value in thing.keywords.items())]
        return f"{qualified(thing.func)}({', '.join(arguments)})".replace("|", "/")
    named = thing if hasattr(thing, "__qualname__") else type(thing)
    line = f":{thing.__code__.co_firstlineno}" if "<" in named.__qualname__ and hasattr(thing, "__code__") else ""
    return f"{named.__module__}.{named.__qualname__}{line}"

"""Ctrl-C and SIGTERM: a verb says in one line what is kept and how to go on; the second signal ends it at once."""

import os
import signal
import threading
from collections.abc import Callable
from functools import wraps
from types import FrameType
from typing import ParamSpec

import typer


Given = ParamSpec("Given")

SIGNALS = (signal.SIGINT, signal.SIGTERM)
KEPT = {
    "demo": "the steps so far stay in its folder; the same command begins anew",
    "annotate": "the records so far are kept; the same command goes on",
    "build": "the annotations so far are kept, and no half-written set; the same command goes on",
    "publish": "the repo holds the old release or the new one, whole; the same command finds out which, and goes on",
    "install": "the same command begins anew",
    "predict": "the answers so far are kept; the same command goes on",
    "score": "the judge's replies so far are kept, and the scores of before; the same command goes on",
    "review": "the votes are kept; the same command goes on",
    "doctor": "nothing was written; the same command begins anew",
    "inspect": "the verdicts so far are kept; the same command goes on",
    "export": "nothing of it is kept; the same command begins anew",
    "app": "nothing of it is kept; the same command begins anew",
}


def interruptible(verb: Callable[Given, None]) -> Callable[Given, None]:
    """Let the first signal that comes to a verb say what is kept, unwind it, and exit with 130 or 143.

    What is under way in other threads may take a while to end; the second signal ends the process as it is.
    """
    said = f"giqa: interrupted: {KEPT.get(verb.__name__, 'nothing was changed')}\n"
    came: list[int] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        for each in SIGNALS:
            signal.signal(each, signal.SIG_DFL)
        came.append(number)
        os.write(2, said.encode())
        raise KeyboardInterrupt

    @wraps(verb)
    def run(*given: Given.args, **named: Given.kwargs) -> None:
        if threading.current_thread() is not threading.main_thread():  # which alone hears signals
            return verb(*given, **named)
        came.clear()
        before = {number: signal.getsignal(number) for number in SIGNALS}
        for number, handler in before.items():
            if handler is not signal.SIG_IGN:  # of a job in the background
                signal.signal(number, interrupt)
        try:
            verb(*given, **named)
        except KeyboardInterrupt:
            raise typer.Exit(128 + came[0] if came else 130) from None
        finally:
            if not came:
                for number, handler in before.items():
                    signal.signal(number, handler)

    return run

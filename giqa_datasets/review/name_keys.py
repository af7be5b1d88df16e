"""Whose a reviewer's name is: whoever enters it first gets its key, and others need the key."""

import hmac
import secrets
import threading
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from giqa_datasets.files import append_line, json_line, mend, read_lines


class _NameKey(BaseModel):
    model_config = ConfigDict(strict=True)
    annotator: str
    key: str


class NameKeys:
    """The keys of the names of a review, which are kept in a file that only its owner may read."""

    def __init__(self, path: Path) -> None:
        """Read them, if there are any.

        Raises:
            ValueError: If a line of the file is none; it is named.
        """
        self.path = path
        self._lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        mend(path)
        self._keys = {line.annotator.lower(): line.key for _, line in read_lines(path, _NameKey)}

    def claim(self, annotator: str, given: str) -> str | None:
        """Return a name's key: a new one if nobody has the name yet, else the one given; None if that is another.

        Names that differ in case alone are one: to some machines, so are their files.
        """
        with self._lock:
            if annotator.lower() not in self._keys:
                key = secrets.token_urlsafe(12)
                append_line(self.path, json_line({"annotator": annotator, "key": key}), sync=True)
                self._keys[annotator.lower()] = key
                return key
        return given if self.fits(annotator, given) else None

    def fits(self, annotator: str, given: str) -> bool:
        """Tell whether a key is the name's."""
        key = self._keys.get(annotator.lower())
        return key is not None and same(given, key)


def same(given: str, secret: str) -> bool:
    """Compare with a secret, in a time that does not tell how much is right."""
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), secret.encode())

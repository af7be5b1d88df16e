"""What the tests of upstream sources share."""

import io
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest


def _lay_out(root: Path, images: Mapping[str, bytes], *, packed: bool, tar: str = "images.tar") -> None:
    if packed:
        with tarfile.open(root / tar, "w") as archive:
            for name, raw in images.items():
                info = tarfile.TarInfo(name)
                info.size = len(raw)
                archive.addfile(info, io.BytesIO(raw))
    else:
        for name, raw in images.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(raw)


@pytest.fixture(scope="session")
def lay_out() -> Callable[..., None]:
    """Write images under a root as its users have them: as files, or packed in a tar."""
    return _lay_out

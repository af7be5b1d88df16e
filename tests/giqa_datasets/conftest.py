"""What the tests of upstream sources share, and a language model behind a scripted server."""

import io
import socket
import tarfile
from collections.abc import Callable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path

import pytest
from PIL import Image

from giqa_datasets.boxes import Boxes
from giqa_datasets.llm import open_llm
from giqa_datasets.pipeline.backends.coco_detector import CocoDetector


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


@pytest.fixture(scope="module")
def looks_once() -> Iterator[None]:
    """The offline detector looks at the same pixels once: a file's tests annotate the same few photographs."""
    look, seen = CocoDetector._all_boxes, {}

    def remember(self: CocoDetector, image: Image.Image) -> dict[str, Boxes]:
        key = self._box_threshold, image.mode, image.size, sha256(image.tobytes()).digest()
        if key not in seen:
            seen[key] = look(self, image)
        return {name: boxes.copy() for name, boxes in seen[key].items()}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CocoDetector, "_all_boxes", remember)
        yield


@pytest.fixture
def llm(server):
    """Open a language model at the scripted server, one call after the other."""
    return lambda **options: open_llm(
        "org/llm", server.url, **{"concurrency": 1, "retries": 0, "timeout": 60} | options
    )


@pytest.fixture(scope="session")
def roomy_llama(make_llama) -> Path:
    """A random Llama whose context holds our prompts, a token for each byte."""
    return make_llama("roomy-llama", context=8192)


@pytest.fixture(scope="session")
def unreachable() -> str:
    """An address on this machine where nobody listens."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{unused.getsockname()[1]}/v1"

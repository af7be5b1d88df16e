"""Images that are nearly the same, by perceptual hash: to keep a benchmark's photographs out of a training set."""

import hashlib
import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import imagehash
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageOps

from giqa_datasets.console import Progress, no_progress
from giqa_datasets.errors import GiqaError, InputError, MissingFileError
from giqa_datasets.images import MAX_PIXELS, decode


HASH_SIDE = 16  # of the hash in bits
N_BITS = HASH_SIDE**2
THRESHOLD = 72  # of the 256 bits; ours, see `Lookalikes`
_DECODED_SIDE = 128  # pixels at which a JPEG is decoded at least; the hash looks at 64
_COLUMNS = {
    "id": pa.string(),
    "image": pa.struct({"bytes": pa.binary(), "path": pa.string()}),
    "image_sha256": pa.string(),
}


class Match(NamedTuple):
    """The known image that another one looks like."""

    name: str  # of the known image
    distance: int | None  # differing bits of the hashes, of `N_BITS`; None if the original files are the same bytes

    def __str__(self) -> str:
        """Describe the match."""
        if self.distance is None:
            return f"the same bytes as {self.name!r}"
        return f"like {self.name!r}, {self.distance} of {N_BITS} bits apart"


class Lookalikes:
    """Known images; another image is looked up among them, also if it was encoded again, scaled or retouched.

    Two images look alike if at most `THRESHOLD` of the 256 bits of their perceptual hashes (pHash) differ. The
    threshold is ours, from 139 photographs. The same photograph: at most 12 as JPEG of quality 30 or 60 or at 50 % or
    25 % of its size, 64 with 2 % cut off at every side, 62 with a local distortion of severity 3 on 16 % of its area,
    and 90 with one of severity 5 (99.6 % are at most 72). Different photographs: at least 98; crops of giqa-tiny,
    6 million pairs between its splits: at least 84. Mirrored images, and parts of an image, are not found.
    """

    def __init__(self, images: Iterable[tuple[str, str, bytes]] = ()) -> None:
        """Take the name, the original file's sha256 (hexadecimal) and the encoded image of each known image."""
        self._by_sha256: dict[str, str] = {}
        self._names: list[str] = []
        self.n_unseen = 0
        self._hashes = bytearray()
        for name, sha256, image_bytes in images:
            self.add(name, sha256, hash_of(image_bytes))

    def add(self, name: str, sha256: str, hashed: bytes | None) -> None:
        """Take one more known image; without a hash it is known only by its sha256."""
        self._by_sha256.setdefault(sha256, name)
        if hashed is not None:
            self._names.append(name)
            self._hashes += hashed
        else:
            self.n_unseen += 1

    def __len__(self) -> int:
        """Count the known files."""
        return len(self._by_sha256)

    def find(self, sha256: str, image_bytes: bytes) -> Match | None:
        """Find the known image of this original's sha256 (hexadecimal), or else the one that looks most alike."""
        if sha256 in self._by_sha256:
            return Match(self._by_sha256[sha256], None)
        return self.nearest(hash_of(image_bytes))

    def nearest(self, hashed: bytes | None) -> Match | None:
        """Find the known image that looks most alike; of several, the one that was taken first."""
        if hashed is None or not self._names:
            return None
        known = np.frombuffer(self._hashes, np.uint64).reshape(len(self._names), -1)
        distances = np.bitwise_count(known ^ np.frombuffer(hashed, np.uint64)).sum(axis=1)
        first = int(distances.argmin())
        return Match(self._names[first], int(distances[first])) if distances[first] <= THRESHOLD else None


def lookalikes_of(folder: Path, progress: Progress = no_progress) -> Lookalikes:
    """Take the images of a data set folder, each by the id of its first row.

    Raises:
        FileNotFoundError: If the folder holds no shards.
        ValueError: If a shard is no Parquet file with the columns of a GIQA data set.
    """
    shards = sorted((folder / "data").glob("*.parquet"))
    if not shards:
        raise MissingFileError(f"expected a data set folder in {folder}, got no shards in its data/")
    return Lookalikes(image for shard in progress(shards, len(shards), "look") for image in _images(shard))


def hash_of(image_bytes: bytes) -> bytes | None:
    """Return the perceptual hash of an encoded image, 32 bytes; None if it cannot be decoded."""
    try:
        return hash_decoded(decode_small(image_bytes)[0])
    except Exception:  # a decoder may raise anything on a hostile file
        return None


def hash_decoded(image: Image.Image) -> bytes:
    """Return the perceptual hash of an image, 32 bytes."""
    return np.packbits(imagehash.phash(image, hash_size=HASH_SIDE).hash).tobytes()


def decode_small(image_bytes: bytes) -> tuple[Image.Image, tuple[int, int]]:
    """Decode upright, to the end of the file; a JPEG only as large as the hash needs it, which is four times as fast.

    Returns:
        The image, and the upright (width, height) that it has in the file.

    Raises:
        Exception: Any that a decoder raises on a hostile file.
    """
    if not image_bytes.startswith(b"\xff\xd8\xff"):
        image = decode(image_bytes, name="")
        return image, image.size
    jpeg = Image.open(io.BytesIO(image_bytes), formats=["JPEG"])
    width, height = jpeg.size
    if width * height > MAX_PIXELS:
        raise InputError(f"expected at most {MAX_PIXELS:,} pixels, got {width}x{height}")
    is_turned = jpeg.getexif().get(0x0112, 1) >= 5
    jpeg.draft("L", (_DECODED_SIDE, _DECODED_SIDE))
    return ImageOps.exif_transpose(jpeg), (height, width) if is_turned else (width, height)


def _images(shard: Path) -> Iterator[tuple[str, str, bytes]]:
    """Yield each image of a shard once, with the id and the sha256 of its first row; empty if it has no pixels."""
    seen: set[tuple[str, bytes]] = set()
    last: tuple[str, bytes] | None = None
    try:
        with pq.ParquetFile(shard, pre_buffer=False) as file:
            schema = file.schema_arrow
            if any(name not in schema.names or schema.field(name).type != kind for name, kind in _COLUMNS.items()):
                raise InputError(f"expected the columns of a GIQA data set in {shard}, got {schema.names}")
            for number in range(file.num_row_groups):
                table = file.read_row_group(number, columns=list(_COLUMNS))
                for name, image, sha256 in zip(*(table[column] for column in _COLUMNS), strict=True):
                    this = (sha256.as_py(), (image.as_py() or {}).get("bytes") or b"")
                    if this == last:
                        continue
                    last = this
                    key = (this[0], hashlib.sha256(this[1]).digest())
                    if key not in seen:
                        seen.add(key)
                        yield name.as_py(), *this
    except GiqaError:
        raise
    except (OSError, ValueError) as error:  # pyarrow's, of a damaged file
        raise InputError(f"{shard} cannot be read: {error}") from error

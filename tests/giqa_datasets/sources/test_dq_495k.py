import hashlib
import io
import json
import random

import numpy as np
import pytest
from PIL import Image

from giqa_datasets.entries import load
from giqa_datasets.records import Distortion
from giqa_datasets.sources.dq_495k import FILES, RIGHTS, entries


FOLDER = "KADIS700K/refA_{}_detail/dist_imgs"


def photo(seed):
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


IMAGES = {f"{FOLDER.format(kind)}/{number}_0.png": photo(number) for kind in ("sd", "md") for number in range(3)}


def single(number=0, **other):
    """A row of the single-distortion file, in the shape of the training set."""
    return shape("sd", number) | {"distortion_class": "blur", "distortion_name": "blur_lens", "severity": 4} | other


def several(number=0, **other):
    """A row of the file with several distortions."""
    return (
        shape("md", number)
        | {
            "distortion_classes": ["noise", "darken"],
            "distortion_names": ["noise_gaussian", "darken_linear"],
            "severities": [2, 5],
        }
        | other
    )


def shape(kind, number):
    return {
        "id": f"{number}_0",
        "image_ref": None,
        "image_A": f"{FOLDER.format(kind)}/{number}_0.png",
        "image_B": None,
        "task_type": "quality_single_A_noref",
        "conversations": [
            {"from": "human", "value": "Why?"},
            {"from": "gpt", "value": f"The {kind} {number} is bad."},
        ],
    }


def as_test(row):
    """The same row in the shape of the test set."""
    human, gpt = row["conversations"]
    rest = {key: value for key, value in row.items() if key != "conversations"}
    return rest | {"query": human["value"], "answer": gpt["value"]}


@pytest.fixture
def upstream(tmp_path, lay_out):
    """Writes both files of a split and the images; returns the root."""

    def write(singles, severals=None, *, split="train", packed=False, root="DataDepictQA"):
        root = tmp_path / root
        for file, listed in zip(FILES[split], (singles, severals or [several()]), strict=True):
            (root / file).parent.mkdir(parents=True, exist_ok=True)
            (root / file).write_text(json.dumps(listed), encoding="utf-8")
        lay_out(root, IMAGES, packed=packed)
        return root

    return write


def taken(root, **options):
    drops = []
    return list(load(entries(root, drops.append, **options), drops.append)), drops


def plain(records):
    return [(record.id, record.photograph, record.description, record.text_license) for record in records]


def test_the_degraded_photograph_comes_with_its_distortions(upstream):
    (one, two), drops = taken(upstream([single()], [several()]))
    assert not drops
    assert (one.description, two.description) == ("The sd 0 is bad.", "The md 0 is bad.")
    assert one.photograph.distortions == (Distortion("blur_lens", 4),)
    assert two.photograph.distortions == (Distortion("noise_gaussian", 2), Distortion("darken_linear", 5))
    assert one.photograph.image == IMAGES[single()["image_A"]]
    assert one.photograph.sha256 == hashlib.sha256(one.photograph.image).hexdigest()
    assert (one.photograph.source, one.text_license) == ("dq-495k", "apache-2.0")
    assert one.id != two.id  # upstream, both are 0_0
    assert not RIGHTS.redistributable


def test_an_intact_photograph_has_no_distortions(upstream):
    intact = single(distortion_class=None, distortion_name=None, severity=0)
    intact_too = several(distortion_classes=None, distortion_names=None, severities=0)
    records, drops = taken(upstream([intact], [intact_too]))
    assert not drops
    assert [record.photograph.distortions for record in records] == [(), ()]


def test_the_shape_of_the_test_rows_gives_the_same_records(upstream):
    singles, severals = [single(number) for number in range(3)], [several(number) for number in range(3)]
    train, none = taken(upstream(singles, severals))
    root = upstream(list(map(as_test, singles)), list(map(as_test, severals)), split="test", root="t")
    test, also_none = taken(root, split="test")
    assert none == also_none == []
    assert len(train) == 6
    assert plain(train) == plain(test)


def test_folder_and_tar_give_the_same_records_in_any_order(upstream):
    singles, severals = [single(number) for number in range(3)], [several(number) for number in range(3)]
    there = plain(taken(upstream(singles, severals))[0])
    shuffled = random.Random(1).sample(singles, 3), random.Random(2).sample(severals, 3)
    back = plain(taken(upstream(*shuffled, packed=True, root="packed"))[0])
    assert back != there
    assert sorted(back, key=lambda one: one[0]) == sorted(there, key=lambda one: one[0])


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        pytest.param(single(severity=6), "malformed_distortions", id="severity-6"),
        pytest.param(single(severity=-1), "malformed_distortions", id="severity-negative"),
        pytest.param(single(severity=0), "malformed_distortions", id="name-without-severity"),
        pytest.param(single(distortion_name=None), "malformed_distortions", id="severity-without-name"),
        pytest.param(single(distortion_name="\ud800"), "malformed_distortions", id="name-no-text"),
        pytest.param(several(severities=[2]), "malformed_distortions", id="one-severity-for-two"),
        pytest.param(several(severities=[2, "bad"]), "malformed_row", id="severity-no-number"),
        pytest.param(single(task_type="quality_compare_noref"), "malformed_row", id="other-task"),
        pytest.param(single(image_A=None), "malformed_row", id="no-image"),
        pytest.param(single(conversations=None), "malformed_row", id="no-text"),
        pytest.param(as_test(single()) | {"answer": " "}, "empty_description", id="blank"),
        pytest.param(single(conversations=[]), "other_conversation", id="no-turns"),
        pytest.param(single(image_A="../canary.png"), "unsafe_path", id="dot-dot"),
        pytest.param(single(image_A="/etc/hostname"), "unsafe_path", id="absolute"),
        pytest.param(single(image_A="KADIS700K/lost.png"), "missing_image", id="missing"),
        pytest.param(single(image_A="KADIS700K/A_sd_detail/metas/broken.png"), "broken_image", id="no-image-file"),
        pytest.param(single(1), "duplicate", id="twice"),
    ],
)
def test_a_bad_row_costs_its_record_and_says_why(upstream, tmp_path, row, reason):
    (tmp_path / "canary.png").write_bytes(photo(9))
    root = upstream([single(1), row, single(2)])
    (root / "KADIS700K/A_sd_detail/metas/broken.png").write_bytes(b"<html>")
    records, drops = taken(root)
    assert [record.description for record in records] == ["The sd 1 is bad.", "The sd 2 is bad.", "The md 0 is bad."]
    assert [(drop.id, drop.stage, drop.reason) for drop in drops] == [
        ("train_A_sd_detail_20k.json row 2", "source", reason)
    ]


def test_a_missing_or_another_file_ends_in_one_sentence(upstream):
    root = upstream([single()])
    with pytest.raises(FileNotFoundError, match=r"test_A_sd_detail_200\.json, found none"):
        taken(root, split="test")
    (root / FILES["train"][1]).write_text(json.dumps([single(task_type="quality_compare")]))
    with pytest.raises(ValueError, match=r"md_detail_8k\.json, got none: row 1: task_type: input should be"):
        taken(root)

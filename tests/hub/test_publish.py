"""`giqa publish` on data set folders: the whole way from the command to `load_dataset`, and back to what was built."""

import io
import json
import signal
import subprocess
import sys
from dataclasses import replace

import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from .releases import REPO, SIZE_WH, commits, giqa_in, local, on_hub, photograph, record, sent, start, write
from .server import TOKEN


pytestmark = pytest.mark.slow


def loaded(client, config="default", split="train", *, streaming=False, columns="id"):
    """What anyone gets: values of a column."""
    client("import datasets; 0")
    rows = f"datasets.load_dataset('org/set', {config!r}, split={split!r}, streaming={streaming})"
    return client(f"[row[{columns!r}] for row in {rows}]")


def configs(raw: bytes) -> dict[str, dict]:
    return {config["config_name"]: config for config in yaml.safe_load(raw.decode().split("---\n")[1])["configs"]}


def test_published_loaded_edited_published_and_loaded_again(hub, client, giqa, folder):
    said = giqa("publish", folder, "org/set", "--tag", "v1")
    assert f"published: {hub.url}/{REPO}" in said
    assert on_hub(hub) == local(folder)
    ids = [f"{k}-{kind}" for k in range(12) for kind in ("des", "yes", "how")]
    for streaming in (False, True):
        assert loaded(client, streaming=streaming) == ids
        assert loaded(client, "des", streaming=streaming) == ids[::3]
        assert loaded(client, "vqa", "test", streaming=streaming, columns="task") == ["vqa"] * 6
    text = client("d = datasets.load_dataset('org/set', 'annotations', split='train'); [d.column_names, len(d)]")
    assert text == [
        [name for name in pq.read_schema(folder / "data" / "train-00000-of-00001.parquet").names if name != "image"],
        36,
    ]
    assert client("datasets.load_dataset('org/set', split='test')[0]['image'].size") == list(SIZE_WH)

    test_shard = (folder / "data" / "test-00000-of-00001.parquet").read_bytes()
    write(folder, train=[record(k) for k in (*range(5), 99, *range(5, 12))], test=[record(k) for k in range(20, 23)])
    assert (folder / "data" / "test-00000-of-00001.parquet").read_bytes() == test_shard
    hub.requests.clear()
    giqa("publish", folder, "org/set", "--tag", "v2")
    assert sum(asked.method == "PUT" for asked in hub.requests) == 2  # the train shard, with and without its images
    assert on_hub(hub) == local(folder)
    assert loaded(client)[15:18] == ["99-des", "99-yes", "99-how"]
    assert client("len(datasets.load_dataset('org/set', split='train', revision='v1'))") == 36
    hub.requests.clear()
    assert "nothing new to publish" in giqa("publish", folder, "org/set")
    assert {asked.method for asked in hub.requests} == {"GET"}
    assert len(commits(hub)) == 3


def test_a_dry_run_shows_the_plan_and_changes_nothing(hub, giqa, folder):
    said = giqa("publish", folder, "org/set", "--dry-run")
    assert "7 files of" in said
    assert "data/train-00000-of-00001.parquet" in said
    assert {asked.method for asked in hub.requests} == {"GET"}
    assert not hub.repos
    giqa("publish", folder, "org/set")
    before = on_hub(hub)
    write(folder, train=[record(k) for k in range(11)])
    said = giqa("publish", folder, "org/set", "--dry-run")
    assert "remove" in said
    assert "data/test-00000-of-00001.parquet" in said
    assert on_hub(hub) == before


def test_the_plan_as_json(giqa, folder):
    told = json.loads(giqa("publish", folder, "org/set", "--format", "json"))
    assert [change["what"] for change in told["changes"]] == ["add"] * 7
    assert told["published"]["is_new"]
    assert json.loads(giqa("publish", folder, "org/set", "--format", "json", "--dry-run"))["changes"] == []


def test_what_does_not_hold_is_said_and_not_published(hub, giqa, folder):
    shard = folder / "data" / "train-00000-of-00001.parquet"
    shard.write_bytes(shard.read_bytes()[:-4000])
    said = giqa("publish", folder, "org/set", code=1)
    assert "data/train-00000-of-00001.parquet: cannot be read" in said
    assert "nothing was published" in said
    assert not hub.repos


def test_a_folder_that_changed_after_it_was_read_is_read_again(hub, giqa, folder):
    giqa("publish", folder, "org/set")
    card = folder / "README.md"
    card.write_text(card.read_text(encoding="utf-8").replace("| train | 12 |", "| train | 13 |"), encoding="utf-8")
    assert "expected 13 images in train, got 12" in giqa("publish", folder, "org/set", code=1)
    assert len(commits(hub)) == 2


@pytest.mark.parametrize("path", [".", "README.md"])
def test_what_is_nothing_of_ours_is_refused(hub, giqa, tmp_path, path):
    (tmp_path / "README.md").write_text("Hello.")
    assert "expected a data set folder, a metric's folder or a scored run" in giqa(
        "publish", tmp_path / path, "org/set", code=1
    )
    assert not hub.requests


@pytest.mark.parametrize(
    "options",
    [
        ["--create-pr", "--tag", "v1"],
        ["--create-pr", "--revision", "next"],
        ["--sdk", "static"],
        ["--dataset", "org/x"],
    ],
)
def test_options_that_do_not_fit(hub, giqa, folder, options):
    assert "InputError" in giqa("publish", folder, "org/set", *options, code=1)
    assert not hub.requests


def test_a_hub_without_xet_is_named_with_the_switch_that_helps(hub, folder, tmp_path):
    command = [sys.executable, "-m", "giqa_metrics.cli", "publish", folder, "org/set"]
    env = hub.environ(tmp_path)
    assert env.pop("HF_HUB_DISABLE_XET") == "1"
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    (said,) = (line for line in done.stderr.splitlines() if line.startswith("giqa: "))
    assert said == (
        "giqa: org/set: this Hub has no Xet storage; publish again with HF_HUB_DISABLE_XET=1 in the environment; "
        "not published"
    )
    assert TOKEN not in done.stderr
    done = subprocess.run(command, env=env | {"HF_HUB_DISABLE_XET": "1"}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert on_hub(hub).keys() == local(folder).keys()


# The licence gate


def test_the_first_line_of_the_plan_says_how_a_folders_own_photographs_may_leave(hub, client, giqa, built):
    first = giqa("publish", built, "org/set", "--dry-run").splitlines()[0]
    assert first == (
        "without their pixels: 3 rows of 3 images of folder (unknown), which is not marked redistributable: giqa "
        "build --redistributable marks all photographs of a folder, the column redistributable single ones"
    )


def test_pixels_that_may_not_leave_do_not_and_come_back_from_own_copies(hub, client, giqa, mixed, tmp_path):
    said = giqa("publish", mixed, "org/set")
    first, title = said.splitlines()[:2]
    assert first == (
        "without their pixels: 12 rows of 4 images of kept (research only), which is not marked redistributable"
    )
    assert title.startswith("mixed to the dataset org/set")
    sent = b"".join(asked.body for asked in hub.requests) + b"".join(hub.storage.values())
    for number in range(9):
        assert (photograph(number)[60:] in sent) == (number % 3 > 0)
    assert photograph(30)[60:] not in sent
    for streaming in (False, True):
        images = loaded(client, streaming=streaming, columns="image")
        assert [image is None for image in images] == [k % 3 == 0 for k in range(9) for _ in range(3)]
        assert loaded(client, "des", "test", streaming=streaming, columns="image") == [None]
    card = on_hub(hub)["README.md"].decode()
    assert "giqa build" in card
    assert "--images" in card
    assert "nothing new" in giqa("publish", mixed, "org/set")

    copies = tmp_path / "copies"
    copies.mkdir()
    for number in (0, 3, 6, 30):
        (copies / f"mine{number}.jpeg").write_bytes(photograph(number))
    again = tmp_path / "again"
    assert "joined: 4 images" in giqa("build", "org/set", "--images", copies, "--out", again)
    assert local(again) == local(mixed)


@pytest.mark.parametrize("damage", ["", "{}\n", None])
def test_without_a_readable_list_of_sources_no_pixels_leave(hub, giqa, mixed, damage):
    sources = mixed / "provenance" / "sources.jsonl"
    if damage is None:
        sources.unlink()
    else:
        sources.write_text(damage)
    giqa("publish", mixed, "org/set", code=0 if damage is None else 1)
    sent = b"".join(asked.body for asked in hub.requests) + b"".join(hub.storage.values())
    assert not any(photograph(number)[60:] in sent for number in range(9))


# What push_to_hub does wrong


def test_a_config_keeps_its_default_and_its_views_when_it_is_published_again(hub, giqa, folder):
    """push_to_hub drops `default: true` and a config's own keys."""
    giqa("publish", folder, "org/set")
    write(folder, train=[record(k) for k in range(13)])
    giqa("publish", folder, "org/set")
    now = configs(on_hub(hub)["README.md"])
    assert [name for name, config in now.items() if config.get("default")] == ["default"]
    assert now["des"]["filters"] == [["task", "==", "des"]]
    assert "image" not in now["annotations"]["columns"]


def test_a_split_that_goes_leaves_nothing_stale(hub, client, giqa, folder):
    """push_to_hub leaves features and numbers of rows behind, and then the repo does not load."""
    giqa("publish", folder, "org/set")
    assert len(loaded(client, split="test")) == 9
    write(folder, train=[record(k) for k in range(3)])
    giqa("publish", folder, "org/set")
    assert set(on_hub(hub)) == set(local(folder))
    assert client("list(datasets.load_dataset('org/set'))") == ["train"]
    assert "dataset_info" not in yaml.safe_load(on_hub(hub)["README.md"].decode().split("---\n")[1])


def test_shards_of_a_push_are_replaced_and_not_loaded_beside_ours(hub, client, giqa, folder):
    client("import datasets; 0")
    client("datasets.Dataset.from_dict({'id': ['old']}).push_to_hub('org/set').oid")
    assert "org/set was last changed by" in giqa("publish", folder, "org/set", code=1)
    head = hub.repos[REPO].commit("main").oid
    giqa("publish", folder, "org/set", "--onto", head[:10])
    assert len(loaded(client)) == 36
    assert set(on_hub(hub)) == set(local(folder))


def test_the_repo_is_made_and_all_arrives_in_one_commit(hub, giqa, tmp_path, monkeypatch):
    """DatasetCard.push_to_hub makes no repo, and upload_folder may make several commits."""
    monkeypatch.setattr("giqa_datasets.dataset_folder.parquet.SHARD_BYTES", 20_000)
    folder = write(tmp_path / "many", train=[record(k) for k in range(400)])
    assert len(list((folder / "data").iterdir())) > 2
    giqa("publish", folder, "org/set")
    assert len(commits(hub)) == 2
    assert on_hub(hub) == local(folder)


def test_no_path_of_this_machine_is_published(hub, giqa, folder, tmp_path):
    """Dataset.to_parquet leaks absolute paths."""
    giqa("publish", folder, "org/set")
    everything = b"".join(asked.body for asked in hub.requests)
    assert str(tmp_path).encode() not in everything
    for raw in (raw for path, raw in on_hub(hub).items() if path.startswith("data/")):
        assert not any(row["image"]["path"] for row in pq.read_table(io.BytesIO(raw)).to_pylist())


def test_images_are_stored_once_uncompressed_and_in_small_row_groups(hub, giqa, tmp_path):
    """push_to_hub writes groups of 100 MB, compressed, so that a first row and an edit cost the whole file."""
    folder = write(tmp_path / "set", train=[record(k) for k in range(100)])
    giqa("publish", folder, "org/set")
    (raw,) = (raw for path, raw in on_hub(hub).items() if path.startswith("data/"))
    shard = pq.ParquetFile(io.BytesIO(raw)).metadata
    groups = [shard.row_group(k) for k in range(shard.num_row_groups)]
    assert all(group.num_rows <= 250 for group in groups)
    assert len(groups) > 1
    column = next(k for k in range(groups[0].num_columns) if groups[0].column(k).path_in_schema == "image.bytes")
    assert {group.column(column).compression for group in groups} == {"UNCOMPRESSED"}
    assert all(group.column(column).has_offset_index for group in groups)
    assert sum(raw.count(photograph(k)[60:]) for k in range(100)) == 100


# The process


def test_a_killed_publisher_leaves_the_old_revision_and_goes_on(hub, tmp_path, monkeypatch):
    monkeypatch.setattr("giqa_datasets.dataset_folder.parquet.SHARD_BYTES", 20_000)
    folder, home = tmp_path / "set", tmp_path / "home"
    write(folder, train=[record(k) for k in range(300)])
    done = start(hub, home, "publish", folder, "org/set")
    assert done.wait(300) == 0, done.stderr.read()
    before = dict(on_hub(hub))
    write(folder, train=[record(k) for k in range(1000, 1300)])
    hub.requests.clear()
    hub.fail(lambda asked: asked.method == "PUT" and sum(a.method == "PUT" for a in hub.requests) > 2, 60.0, times=9)
    killed = start(hub, home, "publish", folder, "org/set")
    hub.wait_for(lambda: sum(asked.method == "PUT" and asked.status == 200 for asked in hub.requests) >= 2)
    killed.send_signal(signal.SIGKILL)
    killed.wait(30)
    assert on_hub(hub) == before
    hub._failures.clear()
    arrived = {asked.path for asked in hub.requests if asked.method == "PUT" and asked.status == 200}
    hub.requests.clear()
    done = start(hub, home, "publish", folder, "org/set")
    out, err = done.communicate(timeout=300)
    assert done.returncode == 0, err
    assert TOKEN not in out + err
    assert on_hub(hub) == local(folder)
    assert not arrived & {asked.path for asked in hub.requests if asked.method == "PUT"}
    assert len(commits(hub)) == 3


def test_an_error_is_one_sentence_without_the_token(hub, tmp_path):
    folder = write(tmp_path / "set", train=[record(0)])
    hub.fail("POST .*/commit/", 500)
    failed = start(hub, tmp_path / "home", "publish", folder, "org/set")
    _, err = failed.communicate(timeout=300)
    assert failed.returncode == 2
    assert err.splitlines()[-1] == "giqa: org/set: the Hub answered 500: injected; not published"
    assert "Traceback" not in err
    assert TOKEN not in err


def test_the_plan_counts_the_photographs_whose_metadata_was_taken_out_and_none_of_it_is_sent(hub, giqa, tmp_path):
    owner = Image.Exif()
    owner[0x013B] = "SOMEBODY"
    (tmp_path / "photos [1]").mkdir()
    lines = []
    for number in range(3):
        photo = Image.open(io.BytesIO(photograph(number)))
        photo.save(tmp_path / "photos [1]" / f"{number} *.jpg", **({"exif": owner} if number else {}))
        line = {"file_name": f"{number} *.jpg", "description": "It is noise.", "regions": [], "redistributable": True}
        lines.append(json.dumps(line))
    (tmp_path / "photos [1]" / "metadata.jsonl").write_text("\n".join(lines))
    done = giqa_in(hub, tmp_path, "build", "folder", "photos [1]", "--out", "my [set]")
    assert done.returncode == 0, done.stderr
    assert "metadata taken out: of 2 images\n" in giqa("publish", tmp_path / "my [set]", "org/set")
    assert "SOMEBODY" in (tmp_path / "photos [1]" / "1 *.jpg").read_bytes().decode("latin-1")
    assert b"SOMEBODY" not in sent(hub)


def test_a_set_whose_photographs_name_their_owner_is_not_published(hub, giqa, tmp_path):
    owner = Image.Exif()
    owner[0x013B] = "SOMEBODY"
    raw = io.BytesIO()
    Image.open(io.BytesIO(photograph(1))).save(raw, "PNG", exif=owner)
    made = record(1)
    foreign = replace(made, photograph=replace(made.photograph, image=raw.getvalue()))
    write(tmp_path / "foreign", train=[foreign])
    said = giqa("publish", tmp_path / "foreign", "org/set", code=1)
    assert "train '1-des': expected an image without metadata, got EXIF, Artist" in said
    assert b"SOMEBODY" not in sent(hub)

"""`giqa publish` where it once went wrong: what must never leave, never be lost, and never be said."""

import base64
import io
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from giqa_datasets.dataset_folder.write import shards_digest

from .releases import FILES, NEW, REPO, committed, local, on_hub, photograph, record, sent, start, tree, write
from .repos import Commit, Repo
from .server import TOKEN, Answer


pytestmark = pytest.mark.slow


KEPT = photograph(30)  # the one of `mixed` in its split test, in a shard of its own
PIXELS = KEPT[60:]
SHARD = "test-00000-of-00001.parquet"


# Pixels that may not leave


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("provenance/photo.png", "in provenance/ alone, got 'photo.png'"),
        ("provenance/.old.parquet", "in provenance/ alone, got '.old.parquet'"),
        ("provenance/drops.jsonl", "provenance/drops.jsonl: "),
        ("eval.yaml", "eval.yaml: cannot be read"),
    ],
)
def test_no_file_beside_the_shards_carries_pixels_out(hub, giqa, mixed, place, told):
    (mixed / place).write_bytes(KEPT)
    assert told in giqa("publish", mixed, "org/set", code=1)
    assert not hub.repos
    assert PIXELS not in sent(hub)
    assert base64.b64encode(KEPT)[:80] not in sent(hub)


def without_images(table: pa.Table) -> pa.Table:
    at = table.schema.get_field_index("image")
    image = table.schema.field(at)
    return table.set_column(at, image, pa.nulls(len(table), image.type))


def before_the_footer(shard: Path) -> None:
    """Put pixels where no row group and no footer says that there is something."""
    raw = shard.read_bytes()
    end = len(raw) - 8 - int.from_bytes(raw[-8:-4], "little")
    shard.write_bytes(raw[:end] + KEPT + raw[end:])


def in_no_row_group(shard: Path) -> None:
    pq.write_table(without_images(pq.read_table(shard)), shard)
    before_the_footer(shard)


def in_the_metadata(shard: Path) -> None:
    bare = without_images(pq.read_table(shard))
    pq.write_table(bare.replace_schema_metadata(bare.schema.metadata | {b"thumbnail": KEPT}), shard)


def in_a_dictionary_that_no_row_names(shard: Path) -> None:
    table = pq.read_table(shard)
    n_rows, encoded = len(table), pa.dictionary(pa.int32(), pa.binary())
    raw = pa.DictionaryArray.from_arrays(pa.array([0] * n_rows, pa.int32()), pa.array([KEPT]))
    image = pa.StructArray.from_arrays(
        [raw, pa.nulls(n_rows, pa.string())],
        fields=[pa.field("bytes", encoded), pa.field("path", pa.string())],
        mask=pa.array([True] * n_rows),
    )
    bare = table.set_column(table.schema.get_field_index("image"), pa.field("image", image.type), image)
    plain = {b"ARROW:schema": base64.b64encode(table.schema.serialize().to_pybytes())}  # as if nothing were encoded
    with pq.ParquetWriter(shard, bare.schema, store_schema=False, compression="NONE") as writer:
        writer.add_key_value_metadata(plain | table.schema.metadata)
        writer.write_table(bare)


@pytest.mark.parametrize("hide", [in_a_dictionary_that_no_row_names, in_the_metadata, in_no_row_group])
def test_pixels_that_no_row_of_a_shard_shows_do_not_leave(hub, giqa, mixed, hide):
    card, data = mixed / "README.md", mixed / "data"
    before = shards_digest(data.iterdir())
    hide(data / SHARD)
    assert PIXELS in (data / SHARD).read_bytes()
    assert not any(row["image"] for row in pq.read_table(data / SHARD).to_pylist())
    text = card.read_text(encoding="utf-8").replace(before, shards_digest(data.iterdir()))
    card.write_text(text, encoding="utf-8")
    giqa("publish", mixed, "org/set")
    published = pq.read_table(io.BytesIO(on_hub(hub)[f"data/{SHARD}"]))
    assert published.num_rows == 3
    assert b"thumbnail" not in published.schema.metadata
    assert PIXELS not in sent(hub)


def test_pixels_that_the_annotations_hide_do_not_leave(hub, giqa, mixed):
    shard = mixed / "annotations" / SHARD
    right = shard.read_bytes()
    before_the_footer(shard)
    giqa("publish", mixed, "org/set")
    assert on_hub(hub)[f"annotations/{SHARD}"] == right
    assert PIXELS not in sent(hub)


def test_a_photograph_that_one_source_keeps_does_not_leave_under_another(hub, giqa, tmp_path):
    free, kept = record(1), record(1, may=False)
    kept = replace(kept, id="kept", samples=tuple(replace(each, id=f"kept-{each.id}") for each in kept.samples))
    both = write(tmp_path / "both", train=[free, kept, record(2)])
    said = giqa("publish", both, "org/set")
    assert "3 rows of 1 images of free (mit)" in said
    assert "3 rows of 1 images of kept (research only)" in said
    assert photograph(1)[60:] not in sent(hub)
    assert photograph(2)[60:] in sent(hub)


# What else may not leave


def test_a_folder_that_is_a_link_to_elsewhere_is_not_published(hub, giqa, folder, tmp_path):
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "id_rsa").write_text("PRIVATE KEY")
    shutil.rmtree(folder / "provenance")
    (folder / "provenance").symlink_to(secrets)
    assert "expected no links in a data set folder" in giqa("publish", folder, "org/set", code=1)
    assert not hub.repos


def test_a_folder_of_links_is_refused_and_does_not_empty_the_repo(hub, giqa, folder, tmp_path):
    giqa("publish", folder, "org/set")
    before = on_hub(hub)
    shutil.copytree(folder, tmp_path / "blobs")
    for name in local(folder):  # as a snapshot in the Hub's cache
        (folder / name).unlink()
        (folder / name).symlink_to(tmp_path / "blobs" / name)
    assert "expected no links in a data set folder" in giqa("publish", folder, "org/set", code=1)
    assert on_hub(hub) == before


def test_a_card_with_the_users_token_is_one_sentence_and_nothing_is_published(hub, folder, tmp_path):
    with (folder / "README.md").open("a", encoding="utf-8") as card:
        card.write(f"\nLoad it with the token {TOKEN}.\n")
    publisher = start(hub, tmp_path / "home", "publish", folder, "org/set")
    out, error = publisher.communicate(timeout=300)
    assert publisher.returncode == 2
    assert "README.md holds your token" in error
    assert len(error.splitlines()) == 1
    assert TOKEN not in out + error
    assert not hub.repos


@pytest.fixture
def changing(client):
    """Let something happen to a file after a folder was read and before it is published."""
    client("import giqa_datasets.publish.dataset as dataset; from pathlib import Path; unfit = dataset.unfit; 0")

    def change(path: Path, what: str) -> None:
        client(
            f"def then(*given, **named): read = unfit(*given, **named); Path(path).{what}; return read\n0", path=path
        )
        client("dataset.unfit = then; 0")

    yield change
    client("dataset.unfit = unfit; 0")


@pytest.mark.parametrize("a_set", ["folder", "mixed"])
def test_a_card_that_changes_after_it_was_read_is_not_published(hub, giqa, changing, request, a_set):
    card = request.getfixturevalue(a_set) / "README.md"
    changing(card, "write_text('PRIVATE KEY')")
    said = giqa("publish", card.parent, "org/set", code=1)
    assert f"{card} changed after it was read, so nothing was published" in said
    assert not any("/commit/" in asked.path for asked in hub.requests)


def test_a_file_that_comes_after_the_folder_was_read_is_not_published(hub, giqa, folder, changing):
    before = local(folder)
    changing(folder / "provenance" / "funnel.json", "write_text('PRIVATE KEY')")
    giqa("publish", folder, "org/set")
    assert (folder / "provenance" / "funnel.json").exists()
    assert on_hub(hub) == before


def test_a_file_that_goes_after_the_folder_was_read_is_named(giqa, folder, changing):
    gone = folder / "provenance" / "images.jsonl"
    changing(gone, "unlink()")
    said = giqa("publish", folder, "org/set", code=1)
    assert f"'{gone}'" in said
    assert "KeyError" not in said


def test_a_private_release_never_lands_in_a_repo_that_another_made_public(hub, client, publish, raised):
    client("mine = plan(look('org/set', 'dataset'), release(files)); 0", files=FILES)
    hub.repos[REPO] = Repo("datasets", "org/set")
    with pytest.raises(raised, match=r"ValueError.*made by another meanwhile, and is public"):
        client("h.publish(mine, private=True)")
    assert tree(hub) == {}


# The work of others


@pytest.mark.parametrize("title", ["initial commit", "initial commit of my data"])
def test_someone_elses_initial_commit_is_not_replaced(hub, giqa, folder, title):
    theirs = {"data/mine.parquet": b"the only copy"}
    committed(hub, theirs, title)
    assert "org/set was last changed by" in giqa("publish", folder, "org/set", code=1)
    assert on_hub(hub) == theirs


def test_onto_takes_seven_letters_of_a_commit_and_no_fewer(hub, giqa, folder):
    head = committed(hub, {"README.md": b"theirs"}, "theirs").oid
    for short in (head[:1], head[:6]):
        hub.requests.clear()
        assert f"replace it with --onto {head}" in giqa("publish", folder, "org/set", "--onto", short, code=1)
        assert {asked.method for asked in hub.requests} == {"GET"}
    giqa("publish", folder, "org/set", "--onto", head[:7])
    assert on_hub(hub) == local(folder)


@pytest.mark.parametrize("options", [["--tag", "a b"], ["--tag", "main"], ["--tag", "next", "--revision", "next"]])
def test_a_tag_that_is_none_is_refused_before_anything_is_sent(hub, giqa, folder, options):
    said = giqa("publish", folder, "org/set", *options, code=1)
    assert f"expected a tag such as v1.0, and no branch's name, got {options[1]!r}" in said
    assert {asked.method for asked in hub.requests} == {"GET"}
    assert not hub.repos


# Proposals


def test_a_proposal_of_the_same_title_and_other_content_is_not_taken_for_ours(hub, client, publish):
    publish()
    title = client("plan(look('org/set', 'dataset'), release(files)).title", files=NEW)
    main = hub.repos[REPO].commit("main")
    hub.repos[REPO].refs["refs/pr/1"] = Commit({**main.files, "README.md": b"theirs"}, main, title)
    assert publish(NEW, create_pr=True)[1].endswith("/discussions/2")
    assert tree(hub, revision="refs/pr/2") == NEW


def test_a_proposal_that_lacks_a_file_is_told(hub, publish, raised):
    publish()
    hub.ignored.add("data/b.parquet")
    with pytest.raises(raised, match=r"OSError.*does not hold data/b\.parquet"):
        publish(NEW, create_pr=True)


def test_the_same_folder_under_another_name_is_proposed_once(hub, giqa, tmp_path):
    giqa("publish", write(tmp_path / "old", train=[record(1)]), "org/set")
    for name in ("new", "copy"):
        giqa("publish", write(tmp_path / name, train=[record(2)]), "org/set", "--create-pr")
    assert [ref for ref in hub.repos[REPO].refs if "/pr/" in ref] == ["refs/pr/1"]


# A stranger's YAML

NAMES = ["- &a0 {k: 1, l: 2}", *(f"- &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}" for n in range(1, 40))]  # 2**39 keys
READERS = {
    "card": "model_card import edit_card; edit_card(f'---\\nx:\\n{text}\\n---\\n'.encode(), 'm', [], {}, where='x')",
    "results": "eval_results import edit_entries; edit_entries(text.encode(), [], where='x')",
}


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
def test_a_few_lines_of_merge_keys_are_refused_before_they_are_merged(reader):
    code = f"import sys; text = sys.stdin.read(); from giqa_metrics.publish.{reader}"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, input="\n".join(NAMES), capture_output=True, text=True, check=False, timeout=300)
    assert "InputError" in done.stderr
    assert "it has aliases" in done.stderr


# What is said


@pytest.mark.parametrize("status", [403, 412])
def test_a_commit_that_was_made_is_not_called_undone(hub, publish, raised, status):
    publish()
    hub.fail(lambda asked: "/tree/" in asked.path and tree(hub) == NEW, status)
    with pytest.raises(raised, match=r"OSError.*published at [0-9a-f]{40}, but"):
        publish(NEW)
    assert tree(hub) == NEW


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("data/\x1b]0;title\x07.parquet", r"data/\x1b]0;title\x07.parquet"),
        ("data/\u202egnp.parquet", r"data/\u202egnp.parquet"),
    ],
)
def test_a_path_on_the_hub_does_nothing_to_the_terminal(hub, giqa, folder, path, shown):
    committed(hub, {path: b"theirs"})
    said = giqa("publish", folder, "org/set", "--dry-run")
    assert shown in said
    assert path not in said
    assert said.replace("\n", "").isprintable()


def test_what_the_hub_says_does_nothing_to_the_terminal(publish, raised, answering):
    publish()
    error = {"error": "one\ntwo \x1b[31m" + "x" * 9999}
    answering(lambda asked: Answer(error, 400) if "/commit/" in asked.path else None)
    with pytest.raises(raised, match=r"the Hub answered 400: .*one\\ntwo \\x1b\[31mxxx") as told:
        publish(NEW)
    assert str(told.value).isprintable()
    assert len(str(told.value)) < 400


def test_findings_are_json_where_json_is_asked_for(hub, giqa, folder):
    (folder / "data" / "notes.txt").touch()
    said = giqa("publish", folder, "org/set", "--format", "json", code=1)
    told, _ = json.JSONDecoder().raw_decode(said)
    assert "notes.txt" in told["findings"][0]["what"]
    assert not hub.repos


def test_a_home_that_cannot_be_written_stops_nothing(hub, folder, tmp_path):
    (tmp_path / "file").touch()
    publisher = start(hub, tmp_path / "file" / "home", "publish", folder, "org/set")
    _, error = publisher.communicate(timeout=300)
    assert publisher.returncode == 0, error
    assert on_hub(hub) == local(folder)

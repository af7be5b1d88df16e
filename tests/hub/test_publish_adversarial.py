"""`giqa publish` against what goes wrong: each request fails, hosts and names are hostile, processes die."""

import json
import random
import re
import resource
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from itertools import product
from typing import Any

import pytest

from . import repos, server
from .releases import (
    FILES,
    NEW,
    REPO,
    commits,
    committed,
    giqa_in,
    local,
    on_hub,
    photograph,
    record,
    sent,
    start,
    tree,
    write,
)
from .server import TOKEN, Answer


pytestmark = pytest.mark.slow


@pytest.fixture
def hasty(client):
    """A client that does not wait between its tries."""
    client("import huggingface_hub.utils._http as u; slept = u.time.sleep; u.time.sleep = lambda s: None; 0")
    yield
    client("u.time.sleep = slept; 0")


# Every request fails once, in every way

SCENES: dict[str, tuple[Any, dict[str, Any]]] = {
    "a first release with a tag": (None, {"tag": "v1"}),
    "a release": (FILES, {}),
    "a pull request": (FILES, {"create_pr": True}),
    "a branch that is not there": (FILES, {"revision": "next"}),
}


PAGE = Answer(b"<html>Bad gateway</html>", 200, {"Content-Type": "text/html"})
HOW: dict[str, Any] = {
    "500": 500,
    "drop": "drop",
    "cut": "cut",
    "412": 412,
    "429": 429,
    "hang": "hang",
    "done, hang": "done hang",
    "a page": PAGE,
    "done, a page": ("done", PAGE),
    "done, nothing": ("done", Answer(b"")),
    "done, half": ("done", Answer(b'{"')),
    "done, another shape": ("done", Answer([])),
    "done, too deep": ("done", Answer(b"[" * 10_000)),
}
# These two scenes hold every request of the others
CASES = [*product(SCENES, list(HOW)[:5]), *product(["a first release with a tag", "a pull request"], list(HOW)[5:])]
# Marks one request, for which nobody waits long
MARK = """
def mark(number):
    left = [number]
    def marked(request):
        if not left[0]:
            request.headers["x-marked"] = "1"
            request.extensions["timeout"] = dict(request.extensions["timeout"], read=0.05)
        left[0] -= 1
    u.get_session().event_hooks = {"request": [u.hf_request_event_hook, marked]}
0
"""


@pytest.mark.parametrize(("scene", "how"), CASES)
def test_whatever_request_fails_the_hub_holds_the_old_or_the_new(hub, publish, client, raised, hasty, scene, how):
    before, options = SCENES[scene]
    old, new = before or {}, NEW
    client(MARK)

    def prepare() -> None:
        hub.reset()
        if before:
            publish(before)
        hub.requests.clear()

    prepare()
    publish(new, **options)
    n_requests = len(hub.requests)
    assert n_requests > 8
    for broken in range(n_requests):
        prepare()
        client("mark(number); 0", number=broken)
        hub.fail(lambda asked: "x-marked" in asked.headers, HOW[how])
        sentence = ""
        try:
            publish(new, **options)
        except raised as error:
            kinds, _, sentence = str(error).partition(": ")
            assert kinds.endswith("OSError < Exception")
            assert sentence.startswith("org/set: ")
            assert "\n" not in sentence
        refs = hub.repos[REPO].refs if REPO in hub.repos else {}
        assert all(tree(hub, revision=ref) in (old, new) for ref in refs)
        assert ("; not published" in sentence) <= all(tree(hub, revision=ref) == old for ref in refs)
        if said := re.search(r"published at ([0-9a-f]{40})", sentence):
            assert [tree(hub, revision=ref) for ref, tip in refs.items() if tip.oid == said[1]]
        client("mark(-1); 0")
        publish(new, **options)
        refs = hub.repos[REPO].refs
        assert (tree(hub, revision=options.get("revision", "main")) == new) is not options.get("create_pr", False)
        assert [tree(hub, revision=ref) for ref in refs if "/pr/" in ref] == [new] * options.get("create_pr", 0)
        assert [tree(hub, revision=ref) for ref in refs if "/tags/" in ref] == [new] * ("tag" in options)
        made = sum(title.startswith("giqa publish") for title in commits(hub)) - bool(before)
        assert made == (not options.get("create_pr") and "revision" not in options)


def test_a_publisher_killed_at_any_time_leaves_the_old_or_the_new(hub, tmp_path):
    folder, home = write(tmp_path / "set", train=[record(k) for k in range(40)]), tmp_path / "home"
    began = time.monotonic()
    assert start(hub, home, "publish", folder, "org/set").wait(300) == 0
    seconds, chance, old = time.monotonic() - began, random.Random(0), dict(on_hub(hub))
    for turn in (1, 2):
        write(folder, train=[record(k + 1000 * turn) for k in range(40)])
        new = local(folder)
        killed = start(hub, home, "publish", folder, "org/set")
        time.sleep(seconds * chance.uniform(0.6, 1))
        killed.kill()
        killed.wait(30)
        assert on_hub(hub) in (old, new)
        done = start(hub, home, "publish", folder, "org/set")
        assert done.wait(300) == 0, done.stderr.read()
        assert on_hub(hub) == new
        assert len(commits(hub)) == 2 + turn
        old = dict(on_hub(hub))


def test_two_processes_at_once_leave_one_of_the_two(hub, tmp_path):
    folders = [write(tmp_path / f"set{n}", train=[record(100 * n + k) for k in range(4)]) for n in range(2)]
    for _ in range(2):
        both = [start(hub, tmp_path / "home", "publish", each, "org/set") for each in folders]
        errors = [process.communicate(timeout=300)[1] for process in both]
        assert on_hub(hub) in [local(each) for each in folders]
        assert 0 in [process.returncode for process in both]
        assert all(error == "" or "someone else published meanwhile" in error for error in errors)


# Hosts, names and kinds of files


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("status", [302, 307])
def test_a_redirect_off_the_hub_does_not_take_the_token_along(
    hub,
    publish,
    raised,
    answering,
    method,
    status,
):
    publish()
    elsewhere = hub.storage_url

    def redirect(asked):
        if asked.at == "hub" and asked.method == method:
            return Answer({}, status, {"Location": elsewhere + asked.path})

    answering(redirect)
    hub.requests.clear()
    with suppress(raised):
        publish(NEW)
    redirected = [asked for asked in hub.requests if asked.at == "storage" and asked.method != "PUT"]
    assert redirected
    assert not any(asked.token for asked in redirected)


def test_a_renamed_repo_is_followed(hub, publish, answering):
    publish()
    renamed = hub.repos["datasets/org/new"] = hub.repos.pop(REPO)
    renamed.name = "org/new"

    def redirect(asked):
        if "/org/set" in asked.path:
            query = "&".join(f"{key}={value}" for key, value in asked.query.items())
            return Answer({}, 307, {"Location": f"{asked.path.replace('/org/set', '/org/new')}?{query}"})

    answering(redirect)
    assert publish(NEW)[3]
    assert tree(hub, "datasets/org/new") == NEW
    assert not publish(NEW)[3]


@pytest.mark.parametrize("is_large", [lambda path, size: False, lambda path, size: size > 0])
def test_gitattributes_may_say_anything(hub, publish, monkeypatch, is_large):
    """Small files are compared by git's hash, large ones by sha256, whatever they are."""
    for module in (repos, server):
        monkeypatch.setattr(module, "is_large", is_large)
    publish()
    assert tree(hub) == FILES
    assert not publish()[3]
    publish(NEW)
    assert tree(hub) == NEW


def test_a_tree_of_many_pages(hub, publish):
    hub.per_page = 7
    committed(hub, {f"data/{k}.parquet": b"%d" % k for k in range(100)} | {"mine/a": b"1"})
    publish()
    assert tree(hub) == FILES | {"mine/a": "1"}


@pytest.mark.parametrize("revision", ["a/b", "a b", "ä", "x%2Fy"])
def test_branches_of_any_name(hub, publish, revision):
    publish()
    publish(NEW, revision=revision)
    assert tree(hub, revision=f"refs/heads/{revision}") == NEW
    assert tree(hub) == FILES
    assert not publish(NEW, revision=revision)[3]


@pytest.mark.parametrize("bad", ["data/../../../../evil", "provenance/../../evil"])
def test_names_in_a_set_lead_nowhere(set_on_hub, built, tmp_path, bad):
    committed(set_on_hub, {bad: b"evil"})
    done = giqa_in(set_on_hub, tmp_path / "work", "build", "org/set", "--images", built.parent / "photos")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.rglob("*evil*"))


# The licence gate


@pytest.mark.parametrize("name", ["Kept", "kept ", "k\u0435pt", "kept\u200b"])
def test_a_name_that_looks_like_a_source_allows_nothing(hub, giqa, mixed, name):
    sources = mixed / "provenance" / "sources.jsonl"
    right = {"image_license": "research only", "text_license": "cc0-1.0", "redistributable": True, "rows": 0}
    lines = f"{sources.read_text(encoding='utf-8')}{json.dumps({'source': name} | right)}\n"
    sources.write_text(lines, encoding="utf-8")
    raised, said = False, ""
    try:
        said = giqa("publish", mixed, "org/set")
    except AssertionError:
        raised = True  # what the card says of the sources does not hold any more
    assert raised or "without their pixels: 12 rows of 4 images" in said
    assert not any(photograph(number)[60:] in sent(hub) for number in (0, 3, 6, 30))


@pytest.mark.parametrize("stray", ["a/photo.png", ".photo.parquet", "photo.PARQUET"])
def test_a_stray_file_among_the_shards_is_refused_even_where_the_folder_was_read(hub, giqa, mixed, stray):
    giqa("publish", mixed, "org/set", "--dry-run")
    path = mixed / "data" / stray
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(photograph(0))
    giqa("publish", mixed, "org/set", code=1)
    assert not hub.repos


# The command, on machines that differ


def test_another_machine_publishes_nothing_new(hub, tmp_path):
    one = write(tmp_path / "set", train=[record(k, may=k % 3 > 0) for k in range(9)])
    other = shutil.copytree(one, tmp_path / "elsewhere" / "set")
    assert start(hub, tmp_path / "home", "publish", one, "org/set").wait(300) == 0
    variables = {"LC_ALL": "C", "TZ": "Asia/Tokyo", "PYTHONHASHSEED": "7", "TMPDIR": str(tmp_path), "COLUMNS": "20"}
    command = [sys.executable, "-m", "giqa_metrics.cli", "publish", other, "org/set"]
    environ = hub.environ(tmp_path / "home2") | variables
    done = subprocess.run(command, env=environ, umask=0o077, capture_output=True, text=True, check=True)
    assert "nothing new to publish" in done.stdout
    assert len(commits(hub)) == 2


@pytest.mark.parametrize(
    ("variables", "code"),
    [({"HF_DEBUG": "1"}, 0), ({"HF_HUB_OFFLINE": "1"}, 2), ({"HF_TOKEN": ""}, 2)],
)
def test_no_setting_of_the_libraries_shows_the_token_or_a_traceback(hub, tmp_path, variables, code):
    folder = write(tmp_path / "set", train=[record(0)])
    command = [sys.executable, "-m", "giqa_metrics.cli", "publish", folder, "org/set"]
    environ = hub.environ(tmp_path / "home") | variables
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert TOKEN not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert code == 0 or len(done.stderr.splitlines()) == 1


def test_a_full_disk_is_told_before_the_hub_is_touched(hub, tmp_path):
    folder = write(tmp_path / "set", train=[record(k, may=k % 2 > 0) for k in range(20)])
    (tmp_path / "tmp").mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "giqa_metrics.cli", "publish", folder, "org/set"],
        env=hub.environ(tmp_path / "home") | {"TMPDIR": str(tmp_path / "tmp")},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "File too large" in done.stderr
    assert not hub.repos
    assert not list((tmp_path / "tmp").iterdir())


def test_a_folder_may_be_named_in_any_way(hub, giqa, client, folder):
    giqa("publish", folder, "org/set")
    here = client("import os; os.getcwd()")
    try:
        client("os.chdir(folder); 0", folder=folder)
        assert "nothing new" in giqa("publish", ".", "org/set")
        client("os.chdir('..'); 0")
        assert "nothing new" in giqa("publish", "set/", "org/set")
        assert "nothing new" in giqa("publish", "./set/../set", "org/set")
    finally:
        client("os.chdir(here); 0", here=here)


@pytest.mark.parametrize("onto", ["", " ", "g", "{head}0"])
def test_onto_another_commit_replaces_nothing(hub, giqa, folder, onto):
    head = committed(hub, {"README.md": b"theirs"}, "theirs").oid
    said = giqa("publish", folder, "org/set", "--onto", onto.format(head=head), code=1)
    assert f"last changed by {head}, 'theirs'" in said
    assert on_hub(hub) == {"README.md": b"theirs"}

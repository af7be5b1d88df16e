"""`giqa_datasets.publish.hub` against the loopback Hub: every release arrives whole or not at all."""

import json
import threading
from pathlib import Path

import pytest

from .releases import FILES, NEW, commits, tree
from .server import TOKEN, Answer


pytestmark = pytest.mark.slow


def sent(hub):
    return [Path(asked.path).name for asked in hub.requests if asked.at == "storage" and asked.method == "PUT"]


def test_a_release_is_one_commit_and_the_same_again_is_none(hub, publish):
    changes, url, commit, is_new = publish()
    assert (url, is_new) == (f"{hub.url}/datasets/org/set", True)
    assert [what for what, _ in changes] == ["add"] * 3
    assert tree(hub) == FILES
    assert commit == hub.repos["datasets/org/set"].commit("main").oid
    assert len(commits(hub)) == 2
    hub.requests.clear()
    assert publish() == ([], url, commit, False)
    assert not [asked for asked in hub.requests if asked.method != "GET"]


def test_only_what_changed_travels_and_what_is_gone_goes(hub, publish):
    publish()
    hub.requests.clear()
    files = {
        "README.md": FILES["README.md"] + "More.\n",
        "data/a.parquet": FILES["data/a.parquet"],
        "data/c.parquet": "c",
    }
    changes, *_ = publish(files)
    assert changes == [("change", "README.md"), ("add", "data/c.parquet"), ("remove", "data/b.parquet")]
    assert tree(hub) == files
    assert len(sent(hub)) == 1


def test_files_of_others_stay(hub, publish, client):
    publish()
    add = "[CommitOperationAdd('notes.md', b'Mine.')]"
    client(f"api.create_commit('org/set', {add}, commit_message='m', repo_type='dataset').oid")
    publish(FILES | {"data/c.parquet": "c"})
    assert tree(hub)["notes.md"] == "Mine."


@pytest.mark.parametrize(("kind", "more"), [("model", {}), ("space", {"sdk": "static"})])
def test_repos_of_every_kind(hub, publish, kind, more):
    _, url, *_ = publish({"README.md": "---\ntitle: x\n---\n"}, kind=kind, private=True, **more)
    key = f"{kind}s/org/set"
    assert hub.repos[key].private
    assert url == f"{hub.url}/{'' if kind == 'model' else 'spaces/'}org/set"
    assert "README.md" in tree(hub, key)


def test_a_branch_is_made_and_main_left_alone(hub, publish):
    publish()
    publish(NEW, revision="next")
    assert tree(hub) == FILES
    assert tree(hub, revision="next") == NEW
    assert publish(NEW, revision="next")[3] is False


def test_a_pull_request_is_opened_once(hub, publish):
    publish()
    changes, url, _, is_new = publish(NEW, create_pr=True)
    assert (changes, is_new) == ([("change", "data/b.parquet")], True)
    assert url == f"{hub.url}/datasets/org/set/discussions/1"
    assert publish(NEW, create_pr=True)[1:] == (url, None, False)
    assert tree(hub) == FILES
    assert tree(hub, revision="refs/pr/1") == NEW
    publish(NEW | {"data/c.parquet": ""}, revision="refs/pr/1")  # the pull request goes on
    assert len(tree(hub, revision="refs/pr/1")) == 4
    assert [ref for ref in hub.repos["datasets/org/set"].refs if "pr" in ref] == ["refs/pr/1"]


def test_a_pull_request_whose_answer_is_lost_is_found(hub, publish):
    publish()
    hub.fail("POST .*/commit/", "cut")
    assert publish(NEW, create_pr=True)[1].endswith("/discussions/1")
    assert [ref for ref in hub.repos["datasets/org/set"].refs if "pr" in ref] == ["refs/pr/1"]


def test_tags_name_a_version_and_never_move(hub, publish, raised):
    _, _, commit, _ = publish(tag="v1")
    refs = hub.repos["datasets/org/set"].refs
    assert refs["refs/tags/v1"].oid == commit
    assert publish(tag="v1")[3] is False
    with pytest.raises(raised, match=r"ValueError.*never moved"):
        publish(NEW, tag="v1")
    assert tree(hub) == FILES
    publish(NEW, tag="v2")
    with pytest.raises(raised, match=r"ValueError.*never moved"):
        publish(NEW, tag="v1")
    assert refs["refs/tags/v1"].oid == commit
    hub.fail("POST .*/tag/", 500)
    with pytest.raises(raised, match=r"OSError.*500"):
        publish(FILES, tag="v3")
    publish(FILES, tag="v3")
    assert refs["refs/tags/v3"].oid == refs["refs/heads/main"].oid


def test_a_public_repo_does_not_become_private_by_itself(publish, raised):
    publish()
    with pytest.raises(raised, match=r"ValueError.*exists and is public"):
        publish(NEW, private=True)


def test_two_publishers_at_once(hub, client, publish, raised):
    publish()
    client(
        "mine, theirs = (plan(look('org/set', 'dataset'), release(f)) for f in files); 0",
        files=[NEW, FILES | {"data/z.parquet": "z"}],
    )
    client("h.publish(theirs)")
    with pytest.raises(raised, match=r"OSError.*someone else published meanwhile"):
        client("h.publish(mine)")
    assert tree(hub)["data/z.parquet"] == "z"
    publish(NEW)
    assert tree(hub) == NEW
    assert len(commits(hub)) == 4


def test_two_first_publishers_at_once(hub, client, publish, raised):
    client("mine, theirs = (plan(look('org/set', 'dataset'), release(f)) for f in files); 0", files=[NEW, FILES])
    client("h.publish(theirs)")
    assert client("foreign(plan(look('org/set', 'dataset'), release({'README.md': '---\\na: b\\n---\\n'})))") is None
    client("h.publish(mine)")  # nobody had published when it was planned; it changes what it finds
    assert tree(hub) == NEW


def test_what_others_put_into_a_repo_that_they_made_meanwhile_stays(hub, client, publish, raised):
    client("mine = plan(look('org/set', 'dataset'), release(f)); 0", f=FILES)
    client("api.create_repo('org/set', repo_type='dataset'); 0")
    add = "[CommitOperationAdd('data/theirs.parquet', b'1')]"
    client(f"api.create_commit('org/set', {add}, commit_message='Mine', repo_type='dataset').oid")
    with pytest.raises(raised, match=r"ValueError.*was last changed by .*since it was looked at"):
        client("h.publish(mine)")
    assert tree(hub) == {"data/theirs.parquet": "1"}


def test_what_others_changed_is_told(hub, client, publish):
    publish()
    told = "foreign(plan(look('org/set', 'dataset'), release(files)))"
    assert client(told, files=NEW) is None
    add = "[CommitOperationAdd('README.md', b'Mine.')]"
    oid = client(f"api.create_commit('org/set', {add}, commit_message='Better words', repo_type='dataset').oid")
    assert client(told, files=NEW) == f"org/set was last changed by {oid}, 'Better words'"
    assert client(told, files={"more.txt": "", "data/a.parquet": "a" * 1000, "data/b.parquet": "b"}) is None


FAULTS = {
    "a 500 before": ("POST .*/preupload/", 500, 9),
    "a dead storage": ("PUT /lfs/", 503, 99),
    "a storage that hangs up": ("PUT /lfs/", "drop", 99),
    "a 500 at the commit": ("POST .*/commit/", 500, 1),
    "a commit that was dropped": ("POST .*/commit/", "drop", 1),
    "a moved parent": ("POST .*/commit/", 412, 1),
    "too many requests": ("POST .*/commit/", 429, 1),
    "no right": ("POST .*/commit/", 403, 1),
    "no tree": ("GET .*/tree/", 500, 9),
    "no refs": ("GET .*/refs", 500, 9),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_leaves_the_old_revision_and_the_next_run_completes_it(hub, client, publish, raised, fault):
    publish()
    client(
        "import huggingface_hub.utils._http as u; slept = u.time.sleep; u.time.sleep = lambda s: slept(s / 1000); 0"
    )
    when, how, times = FAULTS[fault]
    hub.fail(when, how, times)
    try:
        with pytest.raises(raised, match="OSError") as told:
            publish(NEW | {"data/n.parquet": "n" * 5000})
    finally:
        client("u.time.sleep = slept; 0")
        hub._failures.clear()
    sentence = str(told.value).partition(": ")[2]
    assert sentence.startswith("org/set: ")
    assert "\n" not in sentence
    assert TOKEN not in sentence
    assert tree(hub) == FILES
    arrived = set(hub.storage)
    hub.requests.clear()
    publish(NEW | {"data/n.parquet": "n" * 5000})
    assert tree(hub) == NEW | {"data/n.parquet": "n" * 5000}
    assert not arrived & set(sent(hub))
    assert len(commits(hub)) == 3


def test_a_commit_whose_answer_is_lost_is_found(hub, publish):
    publish()
    hub.fail("POST .*/commit/", "cut")
    assert publish(NEW)[3] is True
    assert tree(hub) == NEW
    assert len(commits(hub)) == 3
    assert publish(NEW)[3] is False


def test_a_commit_that_is_made_after_nobody_waits_is_not_made_twice(hub, publish, client, raised):
    publish()
    client("wait_at_most(2)")
    given_up = threading.Event()
    hub.fail("POST .*/commit/", given_up)
    try:
        with pytest.raises(raised, match=r"no answer from the Hub"):
            publish(NEW)
    finally:
        client("wait_at_most()")
        given_up.set()
    hub.wait_for(lambda: tree(hub) == NEW)
    assert publish(NEW)[3] is False
    assert len(commits(hub)) == 3


def test_a_hub_that_never_answers_is_given_up(hub, publish, client, raised):
    publish()
    client("wait_at_most(2)")
    given_up = threading.Event()
    hub.fail("POST .*/commit/", given_up)
    hub.fail("GET .*/refs", given_up)
    try:
        with pytest.raises(raised, match=r"OSError < Exception: org/set: no answer from the Hub \(timed out\)"):
            publish(NEW)
    finally:
        client("wait_at_most()")
        given_up.set()


def test_a_hub_that_asks_to_wait_for_a_day_is_asked_again_after_a_minute(hub, publish, client):
    publish()
    client("import huggingface_hub.utils._http as u; slept, waits = u.time.sleep, []; u.time.sleep = waits.append; 0")
    try:
        for name, value in (("Retry-After", "86400"), ("RateLimit", '"api";r=0;t=86400')):
            hub.fail("GET .*/tree/", Answer({}, 429, {name: value}))
            assert publish()[3] is False
        assert client("waits") == [61, 61]  # huggingface_hub adds one
    finally:
        client("u.time.sleep = slept; 0")


def test_an_answer_without_end_is_read_so_far_and_called_none(hub, publish, client, raised):
    publish()
    client("import giqa_datasets.publish.remote as r; longest, r.LONGEST = r.LONGEST, 2000; wait_at_most(); 0")
    try:
        hub.fail("GET .*/refs", Answer(b"[" * 10_000))
        with pytest.raises(raised, match=r"OSError < Exception: org/set: the answer is none that the Hub gives"):
            publish(NEW)
    finally:
        client("r.LONGEST = longest; wait_at_most(); 0")


def test_a_file_that_the_repo_ignores_is_missed(hub, publish, client, raised):
    """A .gitignore on the Hub makes huggingface_hub leave files out without a word."""
    hub.ignored.add("data/b.parquet")
    with pytest.raises(raised, match=r"OSError.*does not hold data/b.parquet as it was published"):
        publish()


@pytest.mark.parametrize("repo", ["set", "a/b/c", "org/", "../set", "org/set name"])
def test_an_id_that_is_none(publish, raised, repo, hub):
    with pytest.raises(raised, match=r"ValueError < Exception: expected ORG/NAME"):
        publish(repo=repo)
    assert not hub.requests


@pytest.mark.parametrize("revision", ["refs/pr/7", "v1", "0" * 40])
def test_a_revision_that_is_no_branch(publish, raised, revision):
    publish(tag="v1")
    with pytest.raises(raised, match="ValueError"):
        publish(NEW, revision=revision)


def test_the_token_goes_to_the_hub_alone_and_a_wrong_one_is_told_of(hub, client, publish, raised):
    publish()
    assert {asked.at for asked in hub.requests if asked.token} == {"hub"}
    assert any(asked.at == "storage" for asked in hub.requests)
    assert TOKEN not in json.dumps(tree(hub)) + "".join(commits(hub))
    client("import os, huggingface_hub.hf_api; os.environ['HF_TOKEN'] = 'hf_wrong'; 0")
    try:
        with pytest.raises(raised, match=r"OSError < Exception: org/set: the Hub wants a token"):
            publish(NEW)
    finally:
        client("os.environ['HF_TOKEN'] = token; 0", token=TOKEN)
    assert tree(hub) == FILES

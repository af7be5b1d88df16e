"""The real clients against the Hub of these tests: what `giqa publish` and its users will ask of the real one."""

import hashlib
import json
from importlib.metadata import version
from pathlib import Path

import pytest

import giqa_metrics


pytestmark = pytest.mark.slow


SMALL = {"README.md": "---\nlicense: cc0-1.0\n---\nHello.\n", "data/notes.txt": "one\ntwo\n"}
SPACE = Path(giqa_metrics.__file__).parent / "spaces" / "giqa_grounding"
ADD = "[CommitOperationAdd(path, raw.encode()) for path, raw in files.items()]"
COMMIT = f"api.create_commit(repo, {ADD}, commit_message='m', repo_type=kind, **more).__dict__"
DOWNLOAD = "hf_hub_download(repo, path, repo_type=kind, cache_dir=cache)"
LARGE = "(b'0123456789abcdef' * 786432)"  # 12 MB


@pytest.fixture
def repo(hub, client):
    """A new data set on the Hub, with nothing asked yet, and its short name known to the client."""
    client("api.create_repo(repo, repo_type=kind)", repo="org/set", kind="dataset", more={}, files=SMALL)
    hub.requests.clear()
    return "datasets/org/set"


@pytest.fixture(scope="session")
def bench(tmp_path_factory) -> Path:
    """What `giqa build giqa-bench-mini --limit 2` writes."""
    from giqa_datasets.builders.build import build_set
    from giqa_datasets.builders.sets import SetRequest
    from giqa_datasets.pipeline.model_choice import Choice

    root = tmp_path_factory.mktemp("bench")
    build_set(SetRequest("giqa-bench-mini", limit=2), root / "giqa-bench-mini", root / "annotations", Choice())
    return root / "giqa-bench-mini"


def routes(hub) -> list[str]:
    return [asked.route for asked in hub.requests]


def statuses(hub, route: str) -> list[int]:
    return [asked.status for asked in hub.requests if asked.route == route]


@pytest.mark.parametrize("kind", ["model", "dataset", "space"])
def test_a_repo_is_made_filled_listed_and_deleted(hub, client, kind):
    more = {"space_sdk": "static"} if kind == "space" else {}
    url = client("api.create_repo('org/new', repo_type=kind, private=True, **more)", kind=kind, more=more)
    assert url == f"{hub.url}/{'' if kind == 'model' else kind + 's/'}org/new"
    client(COMMIT, repo="org/new", files=SMALL, more={})
    assert hub.files(f"{kind}s/org/new")["data/notes.txt"] == b"one\ntwo\n"
    assert client("sorted(api.list_repo_files(repo, repo_type=kind))") == [".gitattributes", *SMALL]
    assert client("i = api.repo_info(repo, repo_type=kind); [i.id, i.private]") == ["org/new", True]
    client("api.delete_repo(repo, repo_type=kind)")
    assert not hub.repos
    assert not client("api.repo_exists(repo, repo_type=kind)")


def test_a_repo_that_exists(client, repo, raised):
    with pytest.raises(raised, match="409"):
        client("api.create_repo(repo, repo_type=kind)")
    assert client("api.create_repo(repo, repo_type=kind, exist_ok=True).repo_id") == "org/set"


def test_small_and_large_files_travel_once_and_the_token_to_the_hub_alone(hub, client, repo):
    code = f"large = {LARGE}; operations = lambda: {ADD} + [CommitOperationAdd('data/large.parquet', large)]"
    commit = "api.create_commit(repo, operations(), commit_message='m', repo_type=kind).oid"
    oid = client(f"{code}; {commit}")
    files = hub.files(repo)
    assert len(files["data/large.parquet"]) == 12 * 2**20
    assert files["README.md"] == SMALL["README.md"].encode()
    assert hub.repos[repo].commit("main").oid == oid
    asked = ["validate_yaml", "preupload", "lfs_batch", "lfs_put", "lfs_verify", "commit"]
    assert routes(hub) == asked
    assert {a.at for a in hub.requests if a.token} == {"hub"}
    assert [a.size for a in hub.requests if a.at == "storage"] == [12 * 2**20]
    assert max(a.size for a in hub.requests if a.at == "hub") < 2000

    hub.requests.clear()
    assert client(commit) == oid
    assert routes(hub) == ["validate_yaml", "preupload", "lfs_batch", "info"]

    hub.requests.clear()
    client("api.create_commit(repo, [CommitOperationAdd('b.parquet', large)], commit_message='m', repo_type=kind).oid")
    assert routes(hub) == ["preupload", "lfs_batch", "commit"]
    assert hub.files(repo)["b.parquet"] is files["data/large.parquet"]


def test_files_are_deleted_and_copied(hub, client, repo):
    client(COMMIT)
    operations = "[CommitOperationDelete('data/'), CommitOperationCopy('README.md', 'copy.md')]"
    client(f"api.create_commit(repo, {operations}, commit_message='m', repo_type=kind).oid")
    assert set(hub.files(repo)) == {".gitattributes", "README.md", "copy.md"}


def test_a_commit_on_an_old_parent_is_refused(hub, client, repo, raised):
    old = hub.repos[repo].commit("main").oid
    new = client(COMMIT, more={"parent_commit": old})["oid"]
    with pytest.raises(raised, match=r"HfHubHTTPError.*412"):
        client(COMMIT, files={"a": "b"}, more={"parent_commit": old})
    assert hub.repos[repo].commit("main").oid == new
    client(COMMIT, more={"parent_commit": new})


def test_a_pull_request_leaves_main_alone(hub, client, repo):
    info = client(COMMIT, more={"create_pr": True})
    assert info["pr_url"] == f"{hub.url}/{repo}/discussions/1"
    assert set(hub.files(repo)) == {".gitattributes"}
    assert set(hub.files(repo, "refs/pr/1")) == {".gitattributes", *SMALL}
    client(COMMIT, files={"b.txt": "b"}, more={"revision": "refs/pr/1"})
    assert "b.txt" in client("api.list_repo_files(repo, repo_type=kind, revision='refs/pr/1')")
    refs = client("api.list_repo_refs(repo, repo_type=kind, include_pull_requests=True).pull_requests[0].ref")
    assert refs == "refs/pr/1"


def test_tags_branches_and_history(hub, client, repo, raised):
    oid = client(COMMIT)["oid"]
    client("api.create_tag(repo, tag='v1', repo_type=kind)")
    client("api.create_branch(repo, branch='next', repo_type=kind)")
    client(COMMIT, files={"c": "d"}, more={"revision": "next"})
    assert "c" in hub.files(repo, "next")
    assert "c" not in hub.files(repo, "v1")
    with pytest.raises(raised, match="409"):
        client("api.create_tag(repo, tag='v1', repo_type=kind)")
    refs = client(
        "r = api.list_repo_refs(repo, repo_type=kind); [[x.name for x in r.branches], r.tags[0].target_commit]"
    )
    assert refs == [["main", "next"], oid]
    titles = client("[c.title for c in api.list_repo_commits(repo, repo_type=kind, revision='next')]")
    assert titles == ["m", "m", "initial commit"]
    client("api.delete_tag(repo, tag='v1', repo_type=kind)")
    assert "refs/tags/v1" not in hub.repos[repo].refs


def test_the_tree_comes_in_pages_and_paths_by_name(hub, client, repo):
    files = SMALL | {f"data/{n}.parquet": str(n) for n in range(5)}
    client(COMMIT, files=files)
    hub.per_page = 3
    tree = client("[f.path for f in api.list_repo_tree(repo, repo_type=kind, recursive=True)]")
    assert tree == sorted([".gitattributes", "data", *files])
    assert statuses(hub, "tree") == [200] * 3
    assert client("[f.path for f in api.list_repo_tree(repo, repo_type=kind)]") == [
        ".gitattributes",
        "README.md",
        "data",
    ]
    assert len(client("[f.path for f in api.list_repo_tree(repo, 'data', repo_type=kind)]")) == 6
    info = "f, d = api.get_paths_info(repo, ['data/1.parquet', 'no', 'data'], repo_type=kind); [f.lfs.sha256, d.path]"
    assert client(info) == [hashlib.sha256(b"1").hexdigest(), "data"]


def test_downloads_are_cached_by_etag(hub, client, repo, tmp_path):
    client(f"large = {LARGE}; {COMMIT}", path="README.md", cache=tmp_path)
    client("api.create_commit(repo, [CommitOperationAdd('l.bin', large)], commit_message='m', repo_type=kind).oid")
    hub.requests.clear()
    assert Path(client(DOWNLOAD)).read_text() == SMALL["README.md"]
    client(DOWNLOAD)
    assert [a.method for a in hub.requests] == ["HEAD", "GET", "HEAD"]

    hub.requests.clear()
    assert Path(client(DOWNLOAD, path="l.bin")).stat().st_size == 12 * 2**20
    client(DOWNLOAD)
    assert [(a.at, a.method) for a in hub.requests] == [("hub", "HEAD"), ("storage", "GET"), ("hub", "HEAD")]

    client(COMMIT, files={"README.md": "new"})
    assert Path(client(DOWNLOAD, path="README.md")).read_text() == "new"


def test_a_snapshot_has_every_file(client, repo, tmp_path):
    client(COMMIT, cache=tmp_path)
    folder = Path(client("snapshot_download(repo, repo_type=kind, cache_dir=cache)"))
    assert {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} == {
        ".gitattributes",
        *SMALL,
    }


def test_a_range_of_a_file(client, repo):
    client(COMMIT, files={"a.txt": "0123456789", "a.bin": "0123456789"})
    read = "f = HfFileSystem().open(f'datasets/org/set/{path}', block_size=4); f.seek(6); f.read(2).decode()"
    assert [client(read, path=path) for path in ("a.txt", "a.bin")] == ["67", "67"]


def test_load_dataset_reads_what_giqa_built(hub, client, repo, bench):
    operations = (
        "[CommitOperationAdd(str(f.relative_to(root)), f) for f in pathlib.Path(root).rglob('*') if f.is_file()]"
    )
    commit = f"api.create_commit(repo, {operations}, commit_message='m', repo_type=kind).oid"
    client(f"import pathlib; {commit}", root=bench)
    row = client(
        "import datasets; d = datasets.load_dataset(repo, split='test'); [len(d), d[0]['id'], d[0]['image'].size]"
    )
    streamed = "s = datasets.load_dataset(repo, split='test', streaming=True); r = list(s)"
    assert client(f"{streamed}; [len(r), r[0]['id'], r[0]['image'].size]") == row
    assert client("datasets.get_dataset_config_names(repo)") == ["default", "des", "vqa", "annotations"]
    assert any(a.at == "storage" and a.status == 206 for a in hub.requests)
    assert {a.at for a in hub.requests if a.token} == {"hub"}


def test_evaluate_loads_the_metric_from_a_space(hub, client):
    files = {path.name: path.read_text(encoding="utf-8") for path in SPACE.iterdir() if path.is_file()}
    client("api.create_repo(repo, repo_type=kind, space_sdk='static')", repo="org/giqa_grounding", kind="space")
    client(COMMIT, files=files, more={})
    hub.requests.clear()
    texts = {"predictions": ["The [cup](<3, 254>)."], "references": ["The [cup](<3, 254>)."]}
    code = "import evaluate; evaluate.load(repo).compute(**texts, similarity='lexical')['miou']"
    assert client(code, texts=texts) == 1.0
    asked = [a.path.rpartition("/resolve/")[2] for a in hub.requests if a.method == "HEAD"]
    assert asked[0] == f"v{version('evaluate')}/giqa_grounding.py"  # a tag of that name would win over main
    assert set(asked[1:]) == {"main/giqa_grounding.py"}


def test_a_server_error_is_retried_where_the_client_retries_and_raised_where_not(hub, client, repo, raised):
    hub.fail("POST .*/preupload/", 500)
    client(COMMIT)
    assert statuses(hub, "preupload") == [200]
    assert [a.status for a in hub.requests if "/preupload/" in a.path] == [500, 200]
    hub.fail("POST .*/commit/", 500)
    with pytest.raises(raised, match=r"HfHubHTTPError.*500"):
        client(COMMIT, files={"a": "b"})
    assert "a" not in hub.files(repo)


def test_a_failed_put_to_the_storage_is_tried_again(hub, client, repo):
    hub.fail(lambda asked: asked.at == "storage", 503)
    client(COMMIT, files={"a.bin": "b"})
    assert hub.files(repo)["a.bin"] == b"b"


def test_too_many_requests_are_asked_again_after_a_while(hub, client, repo):
    hub.fail("POST .*/preupload/", 429)
    client(COMMIT)
    assert [a.status for a in hub.requests if "/preupload/" in a.path] == [429, 200]


def test_a_download_that_is_cut_goes_on_where_it_was(hub, client, repo, tmp_path):
    client(f"large = {LARGE}; operations = [CommitOperationAdd('l.bin', 2 * large)]; 0")
    client("api.create_commit(repo, operations, commit_message='m', repo_type=kind).oid")
    hub.fail("GET /lfs/", "cut")
    path = Path(client(DOWNLOAD, path="l.bin", cache=tmp_path))
    assert hashlib.sha256(path.read_bytes()).hexdigest() in hub.storage
    assert statuses(hub, "lfs_get") == [200, 206]


def test_a_commit_whose_answer_is_lost_has_happened(hub, client, repo, raised):
    hub.fail("POST .*/commit/", "cut")
    with pytest.raises(raised, match="RemoteProtocolError"):
        client(COMMIT)
    assert "README.md" in hub.files(repo)
    client(COMMIT)
    assert len(list(hub.repos[repo].commit("main").history())) == 2


def test_a_put_that_is_dropped_or_whose_answer_is_lost_is_done_again(hub, client, repo):
    hub.fail("PUT /lfs/", "drop")
    hub.fail("PUT /lfs/", "cut")
    client(COMMIT, files={"a.bin": "b"})
    assert [(a.route, a.status) for a in hub.requests if a.method == "PUT"] == [
        (None, 0),
        ("lfs_put", 200),
        ("lfs_put", 200),
    ]
    assert hub.files(repo)["a.bin"] == b"b"


def test_a_slow_hub_is_waited_for(hub, client, repo, tmp_path):
    hub.fail("POST .*/preupload/", 0.5)
    client(COMMIT)
    hub.requests.clear()
    hub.fail("HEAD .*/resolve/", 5)
    impatient = DOWNLOAD.replace(")", ", etag_timeout=0.2)")
    assert client(impatient, path="README.md", cache=tmp_path)
    assert [a.method for a in hub.requests] == ["HEAD", "HEAD", "GET"]  # asked again, with more patience
    hub.fail("HEAD .*/resolve/", 5)
    assert client(impatient)
    assert [a.method for a in hub.requests[3:]] == ["HEAD"]  # what is cached does


@pytest.mark.parametrize("call", ["api.whoami", "api.create_repo"])
def test_a_wrong_token_is_refused(hub, client, repo, raised, call):
    arguments = "('org/x', repo_type=kind, token='hf_wrong')" if "create" in call else "(token='hf_wrong')"
    with pytest.raises(raised, match=r"HfHubHTTPError.*(401|Invalid user token)"):
        client(call + arguments)
    assert [a.status for a in hub.requests] == [401]
    assert "datasets/org/x" not in hub.repos


def test_without_a_token_public_files_are_read_and_nothing_is_written(hub, client, repo, raised):
    client(COMMIT)
    assert len(client("api.list_repo_files(repo, repo_type=kind, token=False)")) == 3
    with pytest.raises(raised, match=r"HfHubHTTPError.*401"):
        client(COMMIT, more={"token": False})
    hub.repos[repo].private = True
    with pytest.raises(raised, match=r"RepositoryNotFoundError.*401"):
        client("api.list_repo_files(repo, repo_type=kind, token=False)")


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("api.repo_info('org/none', repo_type=kind)", "RepositoryNotFoundError.*404"),
        ("api.delete_repo('org/none', repo_type=kind)", "RepositoryNotFoundError.*404"),
        ("hf_hub_download('org/none', 'a', repo_type=kind)", "RepositoryNotFoundError.*404"),
        ("api.create_commit('org/none', [CommitOperationDelete('a')], commit_message='m')", "RepositoryNotFoundError"),
        ("api.repo_info(repo, repo_type=kind, revision='none')", "RevisionNotFoundError"),
        ("hf_hub_download(repo, 'a', repo_type=kind, revision='none')", "RevisionNotFoundError"),
        ("hf_hub_download(repo, 'none', repo_type=kind)", "RemoteEntryNotFoundError"),
        ("list(api.list_repo_tree(repo, 'none', repo_type=kind))", "RemoteEntryNotFoundError"),
    ],
)
def test_what_is_not_there_raises_the_right_class(client, repo, raised, call, error):
    with pytest.raises(raised, match=error):
        client(call)


def test_a_card_with_broken_yaml_is_refused(hub, client, repo, raised):
    with pytest.raises(raised, match=r"ValueError.*Invalid metadata"):
        client(COMMIT, files={"README.md": "---\na: [\n---\n"})
    assert routes(hub) == ["validate_yaml"]


def test_the_hub_takes_no_short_cuts(hub, client, repo):
    """What a client that did it wrong would hear."""
    client(
        f"import httpx2; put = lambda raw, **headers: httpx2.put({hub.storage_url!r} + '/lfs/' + oid, "
        "content=raw, headers=headers).status_code; 0",
        oid=hashlib.sha256(b"1").hexdigest(),
    )
    assert client("[put(b'1', authorization='Bearer x'), put(b'2')]") == [400, 400]
    line = {"key": "lfsFile", "value": {"path": "a.bin", "algo": "sha256", "oid": "0" * 64, "size": 1}}
    head = {"key": "header", "value": {"summary": "m", "description": ""}}
    send = (
        "httpx2.post(f'{api.endpoint}/api/datasets/{repo}/commit/main', content=body, headers=api._build_hf_headers())"
    )
    body = "\n".join(json.dumps(each) for each in (head, line))
    assert client(f"{send}.status_code", body=body) == 400
    assert set(hub.files(repo)) == {".gitattributes"}

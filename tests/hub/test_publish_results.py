"""A run's results in its model's repo, by the real clients against the loopback Hub, and the card's own code."""

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml

from giqa_datasets.dataset_folder.parquet import write_annotations

from .repos import Commit, Repo


pytestmark = pytest.mark.slow

MODEL, DATA = "org/tiny-llava", "org/giqa-bench-mini"
BEGIN = """
from pathlib import Path
import datasets
from giqa_datasets.publish.hub import publish as commit
from giqa_datasets.publish.plan import plan
from giqa_datasets.publish.remote import look
from giqa_metrics.runs.predict import predict
from giqa_metrics.publish import results
from giqa_metrics.runs.score import DEFAULTS, score_run
def upload(folder, repo, kind):
    files = [CommitOperationAdd(str(f.relative_to(folder)), f) for f in Path(folder).rglob("*") if f.is_file()]
    api.create_repo(repo, repo_type=kind, exist_ok=True)
    return api.create_commit(repo, files, commit_message="m", repo_type=kind).oid
def propose(run, repo, dataset=None):
    remote = look(repo, "model")
    release = results.results_release(Path(run), repo, remote.read, dataset=results.benchmark_of(Path(run), dataset))
    return results.diff(remote.read, release), list(commit(plan(remote, release), create_pr=True))
0
"""
OF = "list(results.benchmark_of(Path(run), dataset))"


@pytest.fixture(scope="module")
def made(tiny_llava, tmp_path_factory) -> Path:
    """A folder with a random LLaVA and the first entries of giqa-bench-mini."""
    from giqa_datasets.builders.build import build_set
    from giqa_datasets.builders.sets import SetRequest
    from giqa_datasets.pipeline.model_choice import Choice

    root = tmp_path_factory.mktemp("made")
    build_set(SetRequest("giqa-bench-mini", limit=3), root / "giqa-bench-mini", root / "annotations", Choice())
    shutil.copytree(tiny_llava, root / "tiny-llava")
    return root


@pytest.fixture(scope="module")
def answered(made, _hub, _client) -> Path:
    """A run of the model over the data set, both from the Hub, and scored."""
    _hub.reset()
    _client(BEGIN)
    _client("upload(data, DATA, 'dataset'); 0", data=made / "giqa-bench-mini", DATA=DATA)
    _client("upload(model, MODEL, 'model'); 0", model=made / "tiny-llava", MODEL=MODEL)
    _client("predict(MODEL, DATA, Path(run), max_new_tokens=4)", run=made / "run")
    _client("score_run(Path(run), options=DEFAULTS._replace(resamples=0)); 0")
    return made / "run"


@pytest.fixture
def run(answered, made, hub, client) -> Path:
    """That run, and what it was made of on the Hub."""
    client("upload(data, DATA, 'dataset'); upload(model, MODEL, 'model')")
    return answered


def head(hub, repo: str) -> str:
    return hub.repos[repo].commit("main").oid


def test_the_data_set_that_a_run_answered_is_found_at_its_commit(hub, client, run, made, tmp_path, raised):
    commit = head(hub, f"datasets/{DATA}")
    assert client(OF, run=run, dataset=None) == [DATA, commit]
    local = shutil.copytree(run, tmp_path / "local")
    for name in ("config.yaml", "summary.json"):
        text = (local / name).read_text(encoding="utf-8")
        (local / name).write_text(text.replace(DATA, str(made / "giqa-bench-mini")), encoding="utf-8")
    assert client(OF, run=local, dataset=DATA) == [DATA, commit]
    with pytest.raises(raised, match=r"expected a data set on the Hub, .* --dataset says which"):
        client(OF, run=local, dataset=None)
    with pytest.raises(raised, match="there is no data set 'org/none' on the Hub"):
        client(OF, run=local, dataset="org/none")
    card = b"---\nconfigs: [{config_name: annotations, data_files: [{split: test, path: a.csv}]}]\n---\n"
    for name, files in {"empty": {}, "other": {"README.md": card, "a.csv": b"id,answer\n1,2\n"}}.items():
        hub.repos[f"datasets/org/{name}"] = Repo("datasets", f"org/{name}", refs={"refs/heads/main": Commit(files)})
        with pytest.raises(raised, match=f"ValueError .*: org/{name} cannot be read as a GIQA data set"):
            client(OF, run=local, dataset=f"org/{name}")


@pytest.mark.parametrize("config", ["des", "vqa"])
def test_a_view_of_the_data_set_is_recognised(client, run, tmp_path, config):
    part = shutil.copytree(run, tmp_path / "part")
    told = yaml.safe_load((part / "config.yaml").read_text(encoding="utf-8")) | {"config": config}
    (part / "config.yaml").write_text(yaml.safe_dump(told), encoding="utf-8")
    ids = client("datasets.load_dataset(DATA, config, split='test')['id'][:]", config=config)
    lines = (part / "predictions.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for line in lines if json.loads(line)["id"] in ids]
    (part / "predictions.jsonl").write_text("".join(kept), encoding="utf-8")
    assert 0 < len(kept) < len(lines)
    client("score_run(Path(run), options=DEFAULTS._replace(resamples=0)); 0", run=part)
    assert client(OF, dataset=None)[0] == DATA


def test_another_revision_of_the_data_set_is_not_the_one_that_was_answered(client, run, made, tmp_path, raised):
    import pyarrow as pa
    import pyarrow.parquet as pq

    other = shutil.copytree(made / "giqa-bench-mini", tmp_path / "other")
    (shard,) = (other / "data").glob("*.parquet")
    table = pq.read_table(shard)
    rows = [row | {"answer": f"{row['answer']} Yes."} for row in table.to_pylist()]
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), shard)
    write_annotations(other / "data", other / "annotations")
    client("upload(other, DATA, 'dataset')", other=other)
    with pytest.raises(raised, match=r"was scored against something else than org/giqa-bench-mini holds in test"):
        client(OF, run=run, dataset=None)


def test_results_are_one_pull_request_that_the_hubs_own_parsers_read(hub, client, run):
    before = dict(hub.files(f"models/{MODEL}"))
    text, (url, commit, is_new) = client("propose(run, MODEL)", run=run)
    assert (url, is_new) == (f"{hub.url}/{MODEL}/discussions/1", True)
    assert hub.files(f"models/{MODEL}") == before
    files = hub.files(f"models/{MODEL}", "refs/pr/1")
    assert files.keys() - before.keys() == {"README.md", ".eval_results/giqa-bench-mini.yaml"}
    assert hub.repos[f"models/{MODEL}"].commit(commit).title.startswith(f"giqa publish results on {DATA} ")
    assert "+++ b/.eval_results/giqa-bench-mini.yaml\n" in text
    assert "+++ b/README.md\n" in text
    download = "hf_hub_download(MODEL, path, revision='refs/pr/1')"
    read = f"[[e.task_id, e.value, e.dataset_revision] for e in parse_eval_result_entries({{}}(open({download})))]"
    entries = client(f"import yaml; {read.format('yaml.safe_load')}", path=".eval_results/giqa-bench-mini.yaml")
    index = (
        "[[f'{r.dataset_config}_{r.metric_type}', r.metric_value, r.dataset_revision] for r in card.data.eval_results]"
    )
    assert client(f"card = ModelCard.load({download}); {index}", path="README.md") == entries
    assert entries
    assert {revision for _, _, revision in entries} == {head(hub, f"datasets/{DATA}")}
    assert client("card.validate()") is None


def test_the_same_results_are_proposed_once_and_not_at_all_where_they_are(hub, client, run):
    text, (url, *_) = client("propose(run, MODEL)", run=run)
    again, (same, commit, is_new) = client("propose(run, MODEL)")
    assert (again, same, commit, is_new) == (text, url, None, False)
    repo = hub.repos[f"models/{MODEL}"]
    assert [ref for ref in repo.refs if ref.startswith("refs/pr/")] == ["refs/pr/1"]
    repo.refs["refs/heads/main"] = repo.commit("refs/pr/1")
    nothing, (_, _, is_new) = client("propose(run, MODEL)")
    assert (nothing, is_new) == ("", False)
    assert len(repo.refs) == 2


def test_a_card_that_cannot_be_edited_is_left_alone(hub, client, run, raised):
    repo = hub.repos[f"models/{MODEL}"]
    main = repo.commit("main")
    repo.refs["refs/heads/main"] = Commit({**main.files, "README.md": b"\xff"}, main)
    hub.requests.clear()
    with pytest.raises(raised, match=r"ValueError < Exception: README.md of org/tiny-llava is no UTF-8"):
        client("propose(run, MODEL)", run=run)
    assert not [asked for asked in hub.requests if asked.route in ("commit", "preupload")]


def test_the_code_in_the_card_runs(hub, client, run):
    client("propose(run, MODEL)[1][0]", run=run)
    card = hub.files(f"models/{MODEL}", "refs/pr/1")["README.md"].decode()
    blocks = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    assert len(blocks) == 2
    client("row = datasets.load_dataset(DATA, split='test').cast_column('image', datasets.Image(decode=False))[0]; 0")
    client("Path('photo.jpg').write_bytes(row['image']['bytes'])")
    asked, told = client("row['prompt'][0]['content']"), '"Describe the quality of this image. Mention positions."'
    assert blocks[0].count(told) == blocks[0].count("512") == 1
    client(f"{blocks[0].replace(told, repr(asked)).replace('512', '4')}\n0")
    first = json.loads((run / "predictions.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert client("[row['id'], answer.strip()]") == [first["id"], first["prediction"]]
    client(f"{blocks[1]}\n0")
    client(f"answer = 'A [block](<0, 21>)'\n{blocks[1]}\n0")
    assert client("[region.phrase, region.boxes.tolist()]") == ["block", [[0.025, 0.025, 0.075, 0.075]]]

"""From photographs to a benchmark: pipeline candidates, three programs in place of annotators, merger, build, score.

The programs draw the mini benchmark's own boxes, two of them a little off to either side, so that the merger must give
these boxes back. That programs agree says nothing: neither a card nor the README may print how far.
"""

import json
from itertools import chain

import numpy as np
import pytest
from datasets import load_dataset
from typer.testing import CliRunner

from giqa_datasets import strip
from giqa_datasets.builders.build import build_set
from giqa_datasets.builders.sets import SetRequest
from giqa_datasets.check import examine_dataset
from giqa_datasets.pipeline.model_choice import Choice
from giqa_datasets.review.agreement import agreement
from giqa_datasets.review.items import open_review, review_path
from giqa_datasets.review.merge import merge_round
from giqa_datasets.review.round_files import read_begin
from giqa_datasets.review.rounds import SCRIPTED
from giqa_datasets.review.votes import append_vote, read_votes
from giqa_datasets.sources import mini
from giqa_metrics.cli import commands
from giqa_metrics.runs.score import Options, score_run


pytestmark = pytest.mark.slow


OFF = {"ann": 0.0, "ben": -0.05, "cleo": 0.05}  # of each box, in its sides


def giqa(*arguments):
    done = CliRunner().invoke(commands, list(map(str, arguments)))
    return done.exit_code, done.output


@pytest.fixture(scope="module")
def truth():
    """The mini benchmark's samples by photograph."""
    return {entry.id: entry.samples for entry in mini.hand_made("test")}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("round_trip")


@pytest.fixture(scope="module")
def candidates(root):
    """The mini benchmark's photographs and plain descriptions through the pipeline, as anyone's folder."""
    photos = root / "photos"
    photos.mkdir()
    lines = []
    for record in (entry.load() for entry in mini.entries("test")):
        (photos / record.id).write_bytes(record.photograph.image)
        line = {"file_name": record.id, "description": record.description, "redistributable": True}
        lines.append(line | {"image_license": record.photograph.license, "text_license": record.text_license})
    (photos / "metadata.jsonl").write_text("\n".join(map(json.dumps, lines)))
    out = root / "candidates"
    request = SetRequest("folder", photos)
    build_set(request, out, root / "annotations", Choice(), keep_ungrounded=True)
    return out


@pytest.fixture(scope="module")
def reviewed(candidates, truth, vote_on):
    """Two rounds: descriptions are grounded and questions added in the first, all is accepted in the second."""
    review = open_review(candidates)
    for name, off in OFF.items():
        for state in review.begin.values():
            if state.task == "vqa":
                append_vote(review, vote_on(state, name + SCRIPTED, "reject"))
                continue
            (des, *_) = truth[state.id.removesuffix("-des")]
            drawn = list(regions_of(des, off))
            append_vote(review, vote_on(state, name + SCRIPTED, "rewrite", regions=drawn))
    for image in review.images:
        state = review.begin[f"{image.id}-des"]
        for number, asked in enumerate(truth[image.id][1:], start=1):
            said = {"question": asked.question, "answer": asked.answer, "question_type": asked.question_type}
            said |= {"id": f"{image.id}-new-ann{SCRIPTED}-{number}", "task": "vqa"}
            drawn = list(regions_of(asked, 0.0))
            append_vote(review, vote_on(state, f"ann{SCRIPTED}", "new", regions=drawn, note="asked", **said))
    merge_round(review)
    review = open_review(candidates)
    for name in OFF:
        for state in review.begin.values():
            append_vote(review, vote_on(state, name + SCRIPTED, round=2))
    merge_round(review)
    return candidates


def regions_of(sample, off):
    """A sample's regions as a vote has them, each box moved; what would leave the image stays in it."""
    for role, regions in (("question", sample.question_regions), ("answer", sample.answer_regions)):
        for region in regions:
            sides = np.tile(region.boxes[:, 2:] - region.boxes[:, :2], 2)
            boxes = np.clip(region.boxes + off * sides, 0, 1).tolist()
            yield {"phrase": region.phrase, "role": role, "span": region.span, "boxes": boxes}


@pytest.fixture(scope="module")
def built(reviewed, root):
    out = root / "giqa-bench-mini"
    code, said = giqa("build", "giqa-bench-mini", reviewed, "--draft", "--out", out)
    assert code == 0, said
    return out, said


def test_candidates_keep_the_descriptions_that_the_pipeline_could_not_ground(candidates, truth):
    rows = load_dataset(str(candidates), "des", split="train")
    assert [row["id"] for row in rows] == [f"{name}-des" for name in truth]
    assert 0 < sum(bool(row["regions"]) for row in rows) < len(rows)
    assert [strip(row["answer"]) for row in rows] == [samples[0].answer for samples in truth.values()]
    assert examine_dataset(candidates).findings == []
    card = (candidates / "README.md").read_text()
    n_plain = sum(not row["regions"] for row in rows)
    assert f"{n_plain} descriptions more are in it without a box, as candidates" in card


def test_the_merger_gives_the_boxes_back_of_which_two_annotators_drew_too_much(built, truth):
    rows = load_dataset(str(built[0]), split="test")
    assert len(rows) == sum(map(len, truth.values()))
    samples = list(chain.from_iterable(truth.values()))
    for row, sample in zip(rows, samples, strict=True):
        assert (row["question_type"], strip(row["answer"])) == (sample.question_type, sample.answer)
        drawn = np.concatenate([region.boxes for region in (*sample.question_regions, *sample.answer_regions)])
        stored = np.concatenate([region["boxes"] for region in row["regions"]])
        assert np.allclose(np.sort(stored, axis=0), np.sort(drawn, axis=0), atol=1e-6), row["id"]


def test_it_is_short_of_people_alone(reviewed, root):
    out = root / "refused"
    code, said = giqa("build", "giqa-bench-mini", reviewed, "--out", out)
    assert code == 1
    assert said.splitlines()[0] == (
        "giqa-bench-mini is short of annotators: expected 3 on each sample, got fewer on 76, such as "
        "'astronaut-des' with 0, programs not counted"
    )
    assert said.splitlines()[1] == f"{out} was not written; --draft writes it as it is"
    assert not out.exists()


def test_the_literal_call_loads_it_and_the_check_finds_nothing(built, monkeypatch):
    monkeypatch.chdir(built[0].parent)
    assert set(load_dataset("giqa-bench-mini")) == {"test"}
    assert examine_dataset(built[0]).findings == []


def test_the_card_prints_no_agreement_of_programs(built):
    card = (built[0] / "README.md").read_text()
    assert "how far programs agree says nothing of people" in card
    assert "| verdicts |" not in card
    assert "0 annotators" not in card


def test_no_name_and_no_note_of_an_annotator_leaves_the_review(built):
    files = [path for path in built[0].rglob("*") if path.is_file()]
    assert any(path.name == f"annotator-1{SCRIPTED}.jsonl" for path in files)
    shipped = b"".join(path.read_bytes() for path in files if path.suffix != ".parquet")
    shipped += json.dumps(load_dataset(str(built[0]), "annotations", split="test")[:]).encode()
    for told in (b"cleo", b"ben-scripted", b"ann-scripted", b"asked"):
        assert told not in shipped


def test_programs_agree_as_far_as_they_were_made_to(reviewed):
    path = review_path(reviewed)
    found = agreement(read_begin(path, 1), read_votes(path, 1))
    assert found.n_annotators == 3
    assert found.matched_fraction == 1
    assert 0.75 < found.mean_iou < 0.9  # 0.05 of both sides off is an IoU of 0.82, 0.1 one of 0.68
    assert agreement(read_begin(path, 2), read_votes(path, 2)).mean_iou == 1


def test_blind_baselines_score_on_it_what_they_score_on_the_shipped_benchmark(built, workspace, tmp_path):
    baselines = []
    for data in (built[0], workspace / "giqa-bench-mini"):
        run = tmp_path / data.parent.name
        run.mkdir()
        rows = load_dataset(str(data), split="test")
        lines = [json.dumps({"id": row["id"], "prediction": row["answer"]}) for row in rows]
        (run / "predictions.jsonl").write_text("\n".join(lines))
        summary = score_run(run, str(data), options=Options(similarity="exact", resamples=0))
        baselines.append({task: summary[task]["baselines"] for task in ("des", "vqa")})
    assert baselines[0] == baselines[1]
    assert 0 < baselines[0]["des"]["whole image"]["giqa_grounding"]["miou"] < 1
    assert baselines[0]["vqa"]["always No"]["giqa_vqa"]["accuracy_yes_no"] > 0.5

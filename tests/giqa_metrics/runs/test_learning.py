"""What a model's training logged, from the model's folder into the run and its report."""

import json

import pytest

from giqa_metrics.runs.training_curve import CHART, MAX_DOTS, Point, charts, copy_learning, read_learning


def logged(*losses: float, **more) -> str:
    history = [{"step": 10 * (number + 1), "loss": loss, **more} for number, loss in enumerate(losses)]
    return json.dumps({"log_history": [*history, {"step": 99, "train_runtime": 1.0}]})


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "model"
    for step, losses in ((9, (3.0,)), (10, (3.0, 2.0)), (100, (3.0, 2.0, 1.0))):
        checkpoint = folder / f"checkpoint-{step}"
        checkpoint.mkdir(parents=True)
        (checkpoint / "trainer_state.json").write_text(logged(*losses, mean_token_accuracy=0.5))
    return folder


@pytest.fixture
def run(tmp_path):
    (tmp_path / "run").mkdir()
    return tmp_path / "run"


def test_the_last_checkpoint_tells_of_the_whole_training(model, run):
    copy_learning(str(model), run)
    assert read_learning(run) == [
        Point(step=step, loss=loss, mean_token_accuracy=0.5) for step, loss in ((10, 3), (20, 2), (30, 1))
    ]


def test_a_checkpoint_tells_of_itself(model, run):
    copy_learning(str(model / "checkpoint-10"), run)
    assert [point.step for point in read_learning(run)] == [10, 20]


def test_what_lies_with_the_model_comes_first(model, run):
    (model / "trainer_state.json").write_text(logged(7.0, 6.0))
    copy_learning(str(model), run)
    assert [point.loss for point in read_learning(run)] == [7, 6]


def test_a_model_of_the_hub_has_no_curve(run):
    copy_learning("org/model", run)
    assert not list(run.iterdir())
    assert read_learning(run) == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        "[" * 100_000,
        '{"log_history": 3}',
        '{"log_history": [3]}',
        '{"log_history": [{"loss": NaN}]}',
        logged(float("nan")),
        logged(1.0).replace("10", '"ten"'),
        logged(1.0, mean_token_accuracy=7),
    ],
)
def test_a_broken_log_costs_the_curve_alone(text, model, run, caplog):
    (model / "trainer_state.json").write_text(text)
    copy_learning(str(model), run)
    assert not list(run.iterdir())
    assert "no log of a training" in caplog.text


def test_a_broken_line_of_a_run_is_named(run):
    (run / "training.jsonl").write_text('{"step": 1, "loss": 2.0}\n{"step": 2}\n')
    with pytest.raises(ValueError, match="line 2: loss: field required"):
        read_learning(run)


def test_a_chart_has_the_largest_loss_at_its_top_and_the_last_step_at_its_right():
    (loss,) = charts([Point(step=5, loss=4.0), Point(step=10, loss=1.0)])
    width, height = CHART
    assert [dot[:2] for dot in loss.dots] == [(width / 2, 0), (width, height * 3 / 4)]
    assert (loss.top, loss.steps) == ("4.00", "10")


def test_accuracy_is_drawn_if_every_point_has_it():
    with_it = [Point(step=step, loss=1, mean_token_accuracy=0.5) for step in (1, 2)]
    assert len(charts(with_it)) == 2
    assert len(charts([*with_it, Point(step=3, loss=1)])) == 1
    assert charts(with_it[:1]) == []


def test_a_long_training_is_thinned_and_keeps_its_last_step():
    (loss,) = charts([Point(step=step, loss=1) for step in range(12_345)])
    assert len(loss.dots) <= MAX_DOTS + 1
    assert loss.dots[-1][2] == "step 12344: 1.000"
    assert loss.dots[0][2] == "step 0: 1.000"


def test_the_report_draws_the_curve(workspace, model, run):
    from datasets import load_dataset

    from giqa_metrics.runs.files import write_config
    from giqa_metrics.runs.score import Options, score_run

    data = str(workspace / "giqa-bench-mini")
    rows = load_dataset(data, split="test").select(range(2))
    write_config(run, {"model": str(model), "data": data, "split": "test", "limit": 2})
    (run / "predictions.jsonl").write_text(
        "".join(json.dumps({"id": row["id"], "prediction": row["answer"]}) + "\n" for row in rows)
    )
    score_run(run, options=Options(similarity="exact", resamples=0))
    assert "<polyline" not in (run / "report.html").read_text()
    copy_learning(str(model), run)
    score_run(run, options=Options(similarity="exact", resamples=0))
    report = (run / "report.html").read_text()
    assert report.count("<polyline") == 2
    assert "step 30: 1.000" in report

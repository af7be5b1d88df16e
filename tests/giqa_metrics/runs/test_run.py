"""The files of a run: what is refused, and what a killed run leaves behind."""

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from giqa_datasets.files import write_whole
from giqa_datasets.folder_lock import hold
from giqa_metrics.runs.files import read_config, read_predictions, resume_predictions, sort_predictions, write_config


@pytest.fixture
def path(tmp_path):
    return tmp_path / "predictions.jsonl"


def line(identifier: str, text: str | None = "Yes.", **more: object) -> str:
    return json.dumps({"id": identifier, "prediction": text} | more) + "\n"


def test_answers_are_read_by_id_in_order(path):
    path.write_text(line("b", "[dog](<0, 42>) \u2028 caf\u00e9") + line("a", None), encoding="utf-8")
    assert list(read_predictions(path).texts.items()) == [("b", "[dog](<0, 42>) \u2028 caf\u00e9"), ("a", None)]


def test_what_is_written_is_read_again(tmp_path):
    @given(st.dictionaries(st.text(), st.text() | st.none(), min_size=1))
    def law(answers):
        file = tmp_path / "law.jsonl"
        rows = ({"id": identifier, "prediction": text} for identifier, text in answers.items())
        write_whole(file, (json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
        assert read_predictions(file).texts == answers

    law()


def test_other_keys_are_left_alone(path):
    path.write_text(line("a", seconds=3, score=[1, 2]), encoding="utf-8")
    assert read_predictions(path).texts == {"a": "Yes."}


def test_the_size_of_the_resized_image_is_read_where_it_stands(path):
    path.write_text(line("a", input_size=[336, 252]) + line("b", input_size=None) + line("c"), encoding="utf-8")
    assert read_predictions(path).input_sizes == {"a": (336, 252), "b": None, "c": None}


@pytest.mark.parametrize(
    "size", [[336], [336, 336, 3], [0, 336], [-1, 336], [336.5, 336], ["336", "336"], 336, "336x336", {}, [True, True]]
)
def test_a_size_that_is_none_is_named_by_its_line(path, size):
    path.write_text(line("a") + line("b", input_size=size), encoding="utf-8")
    with pytest.raises(ValueError, match=r"predictions\.jsonl line 2: expected"):
        read_predictions(path)


def test_a_missing_file_is_named(path):
    with pytest.raises(FileNotFoundError, match=r"predictions\.jsonl"):
        read_predictions(path)


def test_an_empty_file_is_refused(path):
    path.touch()
    with pytest.raises(ValueError, match=r"at least one prediction in .*predictions\.jsonl"):
        read_predictions(path)


@pytest.mark.parametrize(
    "broken",
    [
        '{"id": "b", "predic\n',
        "[1, 2]\n",
        '{"id": "b"}\n',
        '{"prediction": "Yes."}\n',
        '{"id": 7, "prediction": "Yes."}\n',
        '{"id": "b", "prediction": 7}\n',
        '{"id": "b", "prediction": ["Yes."]}\n',
        "null\n",
        "x" * 100_000 + "\n",
    ],
    ids=["cut", "list", "no answer", "no id", "number as id", "number", "list of answers", "null", "long"],
)
def test_a_line_that_is_no_prediction_is_named_by_its_number(path, broken):
    path.write_text(line("a") + broken + line("c"), encoding="utf-8")
    with pytest.raises(ValueError, match="line 2: expected") as error:
        read_predictions(path)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 500


@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["unix", "windows"])
def test_a_byte_order_mark_and_blank_lines_are_read_over(path, end):
    text = "\ufeff" + line("a") + "\n" + " \t\n" + line("b") + "\n\n"
    path.write_bytes(text.replace("\n", end).encode())
    assert read_predictions(path).texts == {"a": "Yes.", "b": "Yes."}
    path.write_bytes((text + '{"id": 7}').replace("\n", end).encode())
    with pytest.raises(
        ValueError, match=r"line 7: expected .*, got '{\"id\": 7}': id: input should be a valid string"
    ):
        read_predictions(path)


@pytest.mark.parametrize("text", ["\\ud83d", "\\uDC00 so", "\\ud83d\\ude00", "\\u00e9"], ids=ascii)
def test_half_a_surrogate_pair_is_no_text(path, text):
    path.write_text(f'{{"id": "a", "prediction": "{text}"}}\n', encoding="utf-8")
    whole = json.loads(f'"{text}"')
    if whole.isprintable():
        assert read_predictions(path).texts == {"a": whole}
    else:
        with pytest.raises(ValueError, match="line 1: expected"):
            read_predictions(path)


def test_a_line_that_is_no_utf_8_is_named_by_its_number(path):
    path.write_bytes(line("a").encode() + b'{"id": "\xff", "prediction": "Yes."}\n')
    with pytest.raises(ValueError, match=r"predictions\.jsonl line 2"):
        read_predictions(path)


def test_an_id_that_occurs_twice_is_named(path):
    path.write_text(line("a") + line("b") + line("a", "No."), encoding="utf-8")
    with pytest.raises(ValueError, match="line 3: id 'a' occurs twice"):
        read_predictions(path)


def test_a_line_that_stands_there_twice_and_an_answer_after_none_count_once(path):
    none = '{"id": "b", "prediction": null, "fault": "from a server"}\n'
    path.write_text(line("a") + line("a") + none + line("b"), encoding="utf-8")
    assert read_predictions(path).texts == {"a": "Yes.", "b": "Yes."}
    sort_predictions(path, ["b", "a"])
    assert path.read_text(encoding="utf-8") == line("b") + line("a")


def test_a_run_that_has_not_begun_has_finished_nothing(path):
    assert resume_predictions(path) == {}
    assert path.read_bytes() == b""


LAST = '{"id": "b", "prediction": "caf\u00e9"}'.encode()


@pytest.mark.parametrize("cut", range(1, len(LAST)))
def test_a_half_written_last_line_is_cut_and_the_file_goes_on(path, cut):
    whole = line("a")
    path.write_bytes(whole.encode() + LAST[:cut])
    assert resume_predictions(path) == {"a": "Yes."}
    assert path.read_text(encoding="utf-8") == whole
    with path.open("a", encoding="utf-8") as file:
        file.write(line("b"))
    assert read_predictions(path).texts == {"a": "Yes.", "b": "Yes."}


def test_a_last_line_that_lacks_nothing_but_its_end_gets_it(path):
    path.write_text(line("a") + line("b")[:-1], encoding="utf-8")
    assert resume_predictions(path) == {"a": "Yes.", "b": "Yes."}
    assert path.read_text(encoding="utf-8") == line("a") + line("b")


def test_whole_lines_are_left_as_they_are(path):
    path.write_text(line("a") + line("b"), encoding="utf-8")
    assert resume_predictions(path) == {"a": "Yes.", "b": "Yes."}
    assert path.read_text(encoding="utf-8") == line("a") + line("b")


def test_a_broken_line_in_the_middle_is_an_error_and_nothing_is_cut(path):
    text = line("a") + "{broken\n" + line("c")
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match="line 2"):
        resume_predictions(path)
    assert path.read_text(encoding="utf-8") == text


def test_a_folder_keeps_one_run(tmp_path):
    folder = tmp_path / "new" / "run"
    config = {"model": "a", "data": "giqa-tiny", "config": None, "limit": 3}
    write_config(folder, config)
    assert read_config(folder) == config
    write_config(folder, config)
    with pytest.raises(ValueError, match="holds another run") as error:
        write_config(folder, config | {"model": "b"})
    assert "\n" not in str(error.value)
    assert read_config(folder) == config


def test_a_folder_without_a_config_says_nothing(tmp_path):
    assert read_config(tmp_path) == {}


@pytest.mark.parametrize(
    "text", ["", "- a\n- b\n", "just words\n", "a: [\n"], ids=["empty", "list", "words", "broken"]
)
def test_a_config_that_is_no_mapping_is_an_error_that_names_the_file(tmp_path, text):
    (tmp_path / "config.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"config\.yaml"):
        read_config(tmp_path)


@pytest.mark.parametrize(
    "text",
    ["limit: x", "limit: 0", "model: [a]", "split: 2020-01-01", "data: {a: b}", "box_format: 7", "? [a, b]\n: c"],
)
def test_a_config_with_other_values_is_one_sentence(tmp_path, text):
    (tmp_path / "config.yaml").write_text(f"{text}\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"config\.yaml") as refused:
        read_config(tmp_path)
    assert "\n" not in str(refused.value)


def test_a_run_that_another_process_holds_is_refused(giqa, tmp_path):
    (tmp_path / "predictions.jsonl").write_text(line("a"), encoding="utf-8")
    with hold(tmp_path):
        ran = giqa("score", tmp_path, "--data", "nowhere")
    assert ran.code == 2
    assert f" is in use by process {os.getpid()} on " in ran.err

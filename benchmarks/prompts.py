"""How well a language model tags and asks under the pipeline's prompts; README.md says what is measured.

`python benchmarks/prompts.py --model meta-llama/Meta-Llama-3-8B-Instruct [--server http://127.0.0.1:8000/v1]`
"""

import argparse
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from giqa_datasets.drops import Drop
from giqa_datasets.llm import Backend, open_llm
from giqa_datasets.pipeline.backends.llm_asker import LlmAsker
from giqa_datasets.pipeline.backends.llm_tagger import LlmTagger, read_tags
from giqa_datasets.pipeline.backends.spacy_tagger import SpacyTagger
from giqa_datasets.pipeline.backends.template_asker import TemplateAsker
from giqa_datasets.pipeline.protocols import Asked, Asker, Failure, Tagger
from giqa_datasets.pipeline.tags import tags
from giqa_datasets.records import Photograph, Record, Tag


SET = Path(__file__).parents[1] / "tests" / "data" / "tagged_descriptions.jsonl"
NOBODY = Photograph(b"", 1, 1, sha256="0" * 64, source="none", license="none")  # tags need no pixels
STEM = 4  # letters by which two words are taken for one: blurred, blurry
EMPTY_WORDS = frozenset(
    re.findall(r"\w+", "a an and any as at by in is it its of on or out that the to too very with")
)


class Described(NamedTuple):
    """A description of the frozen set, with the tags that have a quality and the questions that are right."""

    text: str
    tags: list[Tag]
    questions: list[Asked]


class TagScores(NamedTuple):
    """Tags as the first stage hands them on, beside the right ones.

    Attributes:
        failed: Descriptions at which the tagger failed.
        precision: Share of its phrases that are right, word by word.
        recall: Share of the right phrases that it found so.
        near_precision: Share of its phrases that overlap a right one, each with one.
        near_recall: Share of the right phrases that one of its overlaps.
        quality: Share of these pairs whose qualities have a word in common.
        effect: Share of these pairs with the same effect.
    """

    failed: int
    precision: float
    recall: float
    near_precision: float
    near_recall: float
    quality: float
    effect: float


class QuestionScores(NamedTuple):
    """Questions about the right tags.

    Attributes:
        failed: Replies, one a type and description, that could not be had or read.
        pairs: Questions with their answers.
        named: Share of the pairs that name an object, which the next stage wants.
        yes: Share of Yes among the answers to Yes/No questions.
        found: Share of the right questions' objects that its pairs of the same kind, Yes/No or open, name too.
    """

    failed: int
    pairs: int
    named: float
    yes: float
    found: float


def read_set(path: Path = SET) -> list[Described]:
    """Read the frozen set."""
    out = []
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        found = read_tags(row["description"], json.dumps({"objects": row["objects"]})) or []
        questions = [Asked(each["type"], each["question"], each["answer"]) for each in row["questions"]]
        out.append(Described(row["description"], [tag for tag in found if tag.quality], questions))
    return out


def score_tags(described: Sequence[Described], tagger: Tagger) -> TagScores:
    """Tag the descriptions, and hold the tags against the right ones."""
    drops: list[Drop] = []
    records = [Record(str(at), NOBODY, each.text, "none") for at, each in enumerate(described)]
    found = {record.id: record.tags for record in tags(records, tagger, drops.append)}
    n_found = sum(map(len, found.values()))
    n_right = sum(len(each.tags) for each in described)
    pairs = [pair for at, each in enumerate(described) for pair in _met(found.get(str(at), ()), each.tags)]
    n_same = sum(one.span == other.span for one, other in pairs)
    return TagScores(
        len(records) - len(found),
        _share(n_same, n_found),
        _share(n_same, n_right),
        _share(len(pairs), n_found),
        _share(len(pairs), n_right),
        _share(sum(bool(_stems(one.quality) & _stems(other.quality)) for one, other in pairs), len(pairs)),
        _share(sum(one.effect == other.effect for one, other in pairs), len(pairs)),
    )


def score_questions(described: Sequence[Described], asker: Asker) -> QuestionScores:
    """Have questions asked about the right tags, and count what the pairs hold."""
    asked = [each for each in described if each.tags]
    replies = asker.ask([each.text for each in asked], [each.tags for each in asked], list(range(len(asked))))
    failed, pairs, named, verdicts, found = 0, 0, 0, [], []
    for each, reply in zip(asked, replies, strict=True):
        parts = [reply] if isinstance(reply, Failure) else reply
        good = [part for part in parts if isinstance(part, Asked)]
        failed += len(parts) - len(good)
        pairs += len(good)
        named += sum(bool(_names(pair, each.tags)) for pair in good)
        verdicts += [pair.answer.lower().startswith("yes") for pair in good if pair.question_type == "yes_no"]
        about, right = _about(good, each.tags), _about(each.questions, each.tags)
        found += [one in about for one in sorted(right)]
    return QuestionScores(failed, pairs, _share(named, pairs), _share(sum(verdicts), len(verdicts)), fmean(found))


def _met(found: Sequence[Tag], right: Sequence[Tag]) -> Iterator[tuple[Tag, Tag]]:
    """Pair tags whose phrases overlap, those with the most in common first, each once."""
    common = [
        (min(one.span[1], other.span[1]) - max(one.span[0], other.span[0]), i, j)
        for i, one in enumerate(found)
        for j, other in enumerate(right)
    ]
    taken: set[tuple[str, int]] = set()
    for length, i, j in sorted(common, key=lambda each: (-each[0], each[1:])):
        if length > 0 and not {("found", i), ("right", j)} & taken:
            taken |= {("found", i), ("right", j)}
            yield found[i], right[j]


def _stems(quality: str) -> set[str]:
    return {word[:STEM] for word in re.findall(r"\w+", quality.lower()) if word not in EMPTY_WORDS}


def _names(pair: Asked, right: Sequence[Tag]) -> set[str]:
    text = f"{pair.question} {pair.answer}".lower()
    return {tag.phrase for tag in right if tag.phrase.lower() in text}


def _about(pairs: Sequence[Asked], right: Sequence[Tag]) -> set[tuple[bool, str]]:
    """What pairs are about: whether they are Yes/No, and the phrase."""
    return {(pair.question_type == "yes_no", phrase) for pair in pairs for phrase in _names(pair, right)}


def _share(part: float, whole: int) -> float:
    return part / whole if whole else 0.0


def _print(title: str, rows: dict[str, Any]) -> None:
    print(f"\n{title}")
    fields = next(iter(rows.values()))._fields
    print(" " * 34 + "".join(f"{name:>16}" for name in fields))
    for name, scores in rows.items():
        cells = (f"{value:16.3f}" if isinstance(value, float) else f"{value:16d}" for value in scores)
        print(f"{name[:34]:34}{''.join(cells)}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the scores of a model beside those of the offline tagger and the templates."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="a model id, a folder, or the name under which the server knows it")
    parser.add_argument("--server", help="its OpenAI-compatible server; its key is in GIQA_LLM_API_KEY")
    parser.add_argument("--limit", type=int, help="of descriptions")
    asked = parser.parse_args(arguments)
    if asked.server and not asked.model:
        parser.error("--server needs --model")
    described = read_set()[: asked.limit]
    model: Backend | None = open_llm(asked.model, asked.server) if asked.model else None
    tagged = {"offline: spaCy, lexicon": score_tags(described, SpacyTagger())}
    questioned = {"offline: templates": score_questions(described, TemplateAsker())}
    if model is not None:
        tagged[model.name] = score_tags(described, LlmTagger(model))
        questioned[model.name] = score_questions(described, LlmAsker(model))
    n_tags = sum(len(each.tags) for each in described)
    _print(f"tags: {len(described)} descriptions, {n_tags} objects with a quality", tagged)
    _print("questions about the right tags", questioned)


if __name__ == "__main__":
    main()

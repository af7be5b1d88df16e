"""One sample as a model would be trained on it: the places of its boxes, and the tokens that are learned."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from giqa_datasets.boxes import Boxes
from giqa_datasets.errors import InputError
from giqa_datasets.formats import FORMATS, Sizes
from giqa_datasets.private_interfaces import sft_collator
from giqa_datasets.text import PLACEHOLDER
from giqa_metrics.recipe_check.image_geometry import CUT, Landed, View, find_views, land, main_view, share


NEAR = {"giqa": 0.051, "kosmos2": 0.032}  # largest move of a corner from `regions` to the text: one cell
NEAR_OTHERS = 0.02  # ours: two decimals of a padded square, and room for a box widened to have an area
COARSE = 0.5  # cells; a box with a larger error is lost on the grid


class Model(NamedTuple):
    """The parts of a model that need no weights; `ends` are the tokens at which it stops writing."""

    type: str
    processor: Any
    context: int | None
    image_token: int | None
    ends: set[int]


class TokenCounts(NamedTuple):
    """The tokens of a sample."""

    image: int  # placeholders of the picture
    text: int  # all others, with the answer's
    answer: int  # the model's part, with the end token
    kept: int  # of all tokens at the recipe's `max_length`
    learned: int  # of the kept ones, those under the loss


class Placed(NamedTuple):
    """A box of a sample: its phrase, x1 y1 x2 y2 as shares of the picture, and its place in the views."""

    phrase: str
    box: list[float]
    landed: Landed


class TrainingSample(NamedTuple):
    """One sample as the model would be trained on it."""

    id: str
    size: tuple[int, int]  # (width, height) of the picture
    view: tuple[int, int]  # (width, height) of the main view that the model is given
    views: int  # their number
    seen: float  # share of the picture that some view shows
    boxes: list[Placed]  # of the question and of the answer
    tokens: TokenCounts
    answer: str  # the text of the answer's tokens, with special ones


def train_on(
    row: dict[str, Any], image: Image.Image, model: Model, training: Any
) -> tuple[TrainingSample, list[View], list[str]]:
    """Make a batch of one sample as SFTTrainer does, and name its faults."""

    def batch(picture: Image.Image, max_length: int | None, completion_only_loss: bool) -> Any:
        collator = sft_collator(
            processor=model.processor,
            max_length=max_length,
            completion_only_loss=completion_only_loss,
            pad_to_multiple_of=training.pad_to_multiple_of,
            dataset_text_field=training.dataset_text_field,
            assistant_only_loss=training.assistant_only_loss,
        )
        try:
            return collator([{"image": picture, "prompt": row["prompt"], "completion": row["completion"]}])
        except Exception as error:  # a chat template may raise anything
            raise InputError(f"sample {row['id']!r} makes no batch: {error}") from error

    whole = batch(image, None, True)
    actual = batch(image, training.max_length, training.completion_only_loss is not False)
    views = find_views(image, whole, lambda probe: batch(probe, None, True), model.processor.image_processor)
    ids, answers = (whole[name][0].numpy() for name in ("input_ids", "labels"))
    answer = ids[answers != -100].tolist()
    learned = actual["labels"][0].numpy() != -100
    images = int((ids == model.image_token).sum())
    phrases = [(region["phrase"], box) for region in row["regions"] for box in region["boxes"]]
    boxes = [Placed(phrase, box, land(np.array(box), views)) for phrase, box in phrases]
    tokens = TokenCounts(images, len(ids) - images, len(answer), len(learned), int(learned.sum()))
    view, seen = main_view(views).pixels.shape[1::-1], share(np.array([0.0, 0.0, 1.0, 1.0]), views)
    sample = TrainingSample(row["id"], image.size, view, len(views), seen, boxes, tokens, _text(answer, model))
    prompt = int((learned & (answers[: len(learned)] == -100)).sum())
    faults = [*_unseen(sample, model), *_cut(sample, training.max_length, model), *_unending(answer, row, model)]
    if prompt:
        faults.append(f"the loss is on {prompt} tokens before the answer too; leave completion_only_loss out")
    return sample, views, faults


def _unseen(sample: TrainingSample, model: Model) -> Iterator[str]:
    cut = [placed.landed.share for placed in sample.boxes if placed.landed.share < CUT]
    if sample.seen < CUT:
        crops = getattr(model.processor.image_processor, "do_center_crop", False)
        lost = f"{len(cut)} of {len(sample.boxes)} boxes lie partly outside" if cut else "no box lies outside"
        yield (
            f"the model sees {sample.seen:.0%} of the picture{' (center crop)' if crops else ''}: {lost}"
            f"{f', the worst keeps {min(cut):.0%}' if cut else ''}; let its image processor pad or squash instead"
        )
    coarse = [placed for placed in sample.boxes if placed.landed.share >= CUT and placed.landed.error > COARSE]
    if coarse:
        worst = max(placed.landed.error for placed in coarse)
        yield f"the picture becomes so small that {len(coarse)} boxes come back {worst:.1f} cells off, or less"


def _cut(sample: TrainingSample, max_length: int | None, model: Model) -> Iterator[str]:
    tokens = sample.tokens
    total = tokens.image + tokens.text
    if model.context is not None and total > model.context:
        yield f"it has {total} tokens, the model takes {model.context}"
    if tokens.kept == total:
        return
    if tokens.kept > total - tokens.answer:
        what = f"the last {total - tokens.kept} of the answer's {tokens.answer} tokens, its end token among them"
    else:
        what = f"all {tokens.answer} tokens of the answer, so that the loss is on nothing"
    yield (
        f"max_length {max_length} cuts off {what}: it has {total} tokens, {tokens.image} of them the picture's; "
        "set max_length: null"
    )


def _unending(answer: list[int], row: dict[str, Any], model: Model) -> Iterator[str]:
    """The faults of an answer whose learned tokens are not the completion and its end."""
    tokenizer = model.processor.tokenizer
    end = max((place for place, token in enumerate(answer) if token in model.ends), default=None)
    said = "".join(turn["content"] for turn in row["completion"])
    written = _text(answer[:end], model)
    if end is None:
        names = " or ".join(map(repr, tokenizer.convert_ids_to_tokens(sorted(model.ends)))) or "one"
        yield f"its answer has no end token, so that generation would not stop: let the chat template write {names}"
    elif _text(answer[end + 1 :], model).strip():
        yield f"its answer goes on after the end token: {_short(_text(answer[end + 1 :], model))}"
    if tokenizer.unk_token_id in answer:
        yield f"the tokenizer does not know {answer.count(tokenizer.unk_token_id)} pieces of its answer"
    elif written.split() != said.split():
        yield f"expected its answer to be {_short(said)}, what is learned is {_short(written)}"


def reads(name: str, row: dict[str, Any], sizes: Sizes) -> bool:
    """Tell whether a box format reads in the row's texts the boxes of its regions and no others."""
    near = NEAR.get(name, NEAR_OTHERS)
    for role, turns in (("question", row["prompt"]), ("answer", row["completion"])):
        try:
            text = "\n".join(turn["content"] for turn in turns).replace(FORMATS[name].hint, PLACEHOLDER)
            read = FORMATS[name].read(text, sizes)
        except ValueError:  # the format does not fit pictures of this size
            return False
        there = [(region.phrase, np.array(box)) for region in read.regions for box in region.boxes]
        stated = [
            (each["phrase"], np.array(box)) for each in row["regions"] if each["role"] == role for box in each["boxes"]
        ]
        if read.malformed or not (_all_near(stated, there, near) and _all_near(there, stated, near)):
            return False
    return True


def _all_near(some: list[tuple[str, Boxes]], others: list[tuple[str, Boxes]], near: float) -> bool:
    """Tell whether each named box of the one list is near a box of the same name in the other."""
    return all(
        any(name.strip() == other.strip() and np.abs(box - its).max() <= near for other, its in others)
        for name, box in some
    )


def _text(tokens: list[int], model: Model) -> str:
    text: str = model.processor.tokenizer.decode(tokens, clean_up_tokenization_spaces=False)
    return text


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:59] + "…")

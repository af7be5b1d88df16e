"""A seeded workload of GIQA-160K's size: grounded texts, predictions partly near their references, some malformed."""

import re
from collections.abc import Iterator
from itertools import product
from random import Random
from typing import NamedTuple


SAMPLES = 167_657  # of GIQA-160K, paper section 3
IMAGES = 42_960
N_LABELS = 4_182  # distinct names
N_WORDS = 120  # a text
SIDE = 20  # cells a side
MALFORMED = 0.1  # of the predictions

PROSE = "the a of and in with is are slightly very rather but which while over against".split()  # noqa: SIM905
NAMES = """sharp blurred dark bright noisy clean soft vivid pale warm cold left right upper lower front rear distant
near small large old young red green blue white black grey brown wooden stone metal glass paper tower bridge river
street window door roof tree flower leaf dog cat bird horse man woman child face hand table cup lamp car boat sky wall
road grass sand snow""".split()  # noqa: SIM905
LABELS = [*NAMES, *map(" ".join, product(NAMES, NAMES))][:N_LABELS]

Box = tuple[int, int, int, int]  # first column, first row, last column, last row


class Phrase(NamedTuple):
    """A name and its boxes."""

    name: str
    boxes: list[Box]

    def __str__(self) -> str:
        """Write it as GIQA text."""
        return f"[{self.name}]({', '.join(f'<{y1 * SIDE + x1}, {y2 * SIDE + x2}>' for x1, y1, x2, y2 in self.boxes)})"


class Sample(NamedTuple):
    """A prediction, its reference, and the number of the image they are about."""

    prediction: str
    reference: str
    image: int


def samples(count: int = SAMPLES, *, seed: int = 0, n_words: int = N_WORDS) -> Iterator[Sample]:
    """Draw samples; a longer workload begins with the shorter one of the same seed."""
    rng = Random(seed)
    for index in range(count):
        truth = [_phrase(rng) for _ in range(rng.randint(1, 4))]
        prediction = _write(_answer(rng, truth), rng, n_words)
        if rng.random() < MALFORMED:
            prediction = _spoil(prediction, rng)
        yield Sample(prediction, _write(truth, rng, n_words), index * IMAGES // SAMPLES % IMAGES)


def _phrase(rng: Random) -> Phrase:
    return Phrase(rng.choice(LABELS), [_box(rng) for _ in range(rng.randint(1, 3))])


def _box(rng: Random) -> Box:
    x1, x2 = sorted((rng.randrange(SIDE), rng.randrange(SIDE)))
    y1, y2 = sorted((rng.randrange(SIDE), rng.randrange(SIDE)))
    return x1, y1, x2, y2


def _answer(rng: Random, truth: list[Phrase]) -> list[Phrase]:
    """What a model might say: most phrases near the truth, some left out, renamed, invented or said twice."""
    answer = []
    for phrase in truth:
        chance = rng.random()
        if chance < 0.15:
            continue
        name = rng.choice(LABELS) if chance < 0.35 else phrase.name
        answer.append(Phrase(name, [_near(rng, box) for box in phrase.boxes]))
        if chance > 0.95:  # twice, word for word: one object
            answer.append(answer[-1])
        elif chance > 0.9:  # the same boxes under another name: a tie
            answer.append(Phrase(rng.choice(LABELS), answer[-1].boxes))
    if rng.random() < 0.2:
        answer.append(_phrase(rng))
    return answer


def _near(rng: Random, box: Box) -> Box:
    moved = [min(max(value + rng.choice((-2, -1, 0, 0, 0, 1, 2)), 0), SIDE - 1) for value in box]
    (x1, x2), (y1, y2) = sorted(moved[::2]), sorted(moved[1::2])
    return x1, y1, x2, y2


def _write(phrases: list[Phrase], rng: Random, n_words: int) -> str:
    """A text of about so many words that holds the phrases, in any order."""
    words = rng.choices(PROSE + NAMES, k=n_words - 2 * len(phrases))
    for phrase in phrases:
        words.insert(rng.randrange(len(words) + 1), str(phrase))
    return " ".join(words)


def _spoil(text: str, rng: Random) -> str:
    """Break one box, in one of four ways."""
    boxes = list(re.finditer(r"<(\d+), (\d+)>", text))
    if not boxes:
        return text
    box = rng.choice(boxes)
    first, last = map(int, box.groups())
    broken = (
        None,
        f"<{first}, {last + SIDE * SIDE}>",
        f"<{last}, {first}>" if first != last else f"<{SIDE * SIDE - 1}, 0>",
        f"<{first}>" if first % 2 else f"<{first}, {last}, {last}>",
    )[rng.randrange(4)]
    if broken is None:  # generation stopped early
        return text[: rng.randrange(box.start() + 1, box.end())]
    return text[: box.start()] + broken + text[box.end() :]

r"""What answers say of defects: boxes with class and severity, key defects, a level, an option.

A box's name here is its severity and its class, `moderate\0low clarity`, each in the one spelling of
`giqa_datasets.defect_classes`, so that everything that matches names matches these.
"""

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from string import ascii_uppercase
from typing import Any, NamedTuple

import numpy as np

from giqa_datasets.boxes import Ints
from giqa_datasets.defect_classes import class_and_severity, defect_class
from giqa_datasets.errors import InputError
from giqa_datasets.formats.frames import Sizes
from giqa_datasets.grid import boxes_to_cells
from giqa_datasets.names import distinct, spelled
from giqa_datasets.regions import Box
from giqa_datasets.reply import Cut, cut
from giqa_datasets.text import Kind
from giqa_datasets.text_scan import Scan, scan, scan_replies
from giqa_metrics.defects.objects import RatedBox, key_objects, objects_of
from giqa_metrics.inputs import column_of, samples_of, sizes_of, texts_of


LEVELS = ("bad", "poor", "fair", "good", "excellent")  # of a whole image, rising
_LEVEL = re.compile(r"\bquality of the (?:image|photo|photograph|picture) is (\w+)", re.IGNORECASE)
_ONLY_LEVEL = re.compile(rf"\W*({'|'.join(LEVELS)})\W*", re.IGNORECASE)
_LETTERED = re.compile(r"([A-Z])[.)]\s+(.+)")
_OPTION = re.compile(
    r"\W*(?:(?:the |my )?(?:correct |best |right )?(?:answer|option|choice)(?: is)?\W*)?([a-z])(?:[.):,\]*]|\s*\Z)",
    re.IGNORECASE,
)


class Samples(NamedTuple):
    """N answers and what they are held against.

    Attributes:
        replies: The predictions.
        answers: Their texts, cut out of thoughts and template tokens.
        references: GIQA text.
        objects: In the place of the references' boxes.
        candidates: The options of each multiple-choice question; None for a sample that is none.
        concerns: What each multiple-choice question is about.
        described: The samples that describe a whole image: whose reference states a level.
        images: The image of each sample.
        box_format: Of the replies.
        sizes: Of each image.
    """

    replies: list[str]
    answers: list[Cut]
    references: list[str]
    objects: list[list[RatedBox]] | None
    candidates: list[list[str] | None]
    concerns: list[str]
    described: list[int]
    images: list[str]
    box_format: str
    sizes: list[Sizes]

    def parts(self, size: int) -> "Iterator[Samples]":
        """So many samples after the other."""
        for start in range(0, len(self.replies), size):
            its = slice(start, start + size)
            first, last = (bisect_left(self.described, at) for at in (start, start + size))
            yield self._replace(
                replies=self.replies[its],
                answers=self.answers[its],
                references=self.references[its],
                objects=None if self.objects is None else self.objects[its],
                candidates=self.candidates[its],
                concerns=self.concerns[its],
                described=[at - start for at in self.described[first:last]],
                images=self.images[its],
                sizes=self.sizes[its],
            )


class NamedBoxes(NamedTuple):
    """The named boxes of U units, a sample each or all of an image's; the texts of a `Scan` are units here.

    Attributes:
        predicted: Of the answers.
        reference: Of the references.
        predicted_keys: The key defects of the answers.
        reference_keys: The key defects of the references.
        sample: Shape (U,), the sample in whose row a unit counts.
        malformed: The kinds of the malformed boxes, by sample.
    """

    predicted: Scan
    reference: Scan
    predicted_keys: Scan
    reference_keys: Scan
    sample: Ints
    malformed: dict[int, list[Kind]]


def samples_from(
    predictions: Any,
    references: Any,
    *,
    box_format: str = "giqa",
    image_sizes: Any = None,
    input_sizes: Any = None,
    objects: Any = None,
    candidates: Any = None,
    concerns: Any = None,
    images: Any = None,
) -> Samples:
    """Take what `giqa_defects` is given.

    Raises:
        ValueError: As `giqa_defects` does.
    """
    texts = samples_of(predictions=predictions, references=references)
    replies, references = ([text or "" for text in column] for column in texts)
    count = len(replies)
    nothing = [None] * count
    lists = nothing if candidates is None else column_of("candidates", candidates, "lists", count)
    options = [
        None if its is None else texts_of(f"candidates at {at}", its, required=True) for at, its in enumerate(lists)
    ]
    for at, its in enumerate(options):
        if its is not None and option_of(references[at], its) is None:
            raise InputError(f"expected a reference out of {its}, got {references[at]!r} at {at}")
    about = nothing if concerns is None else texts_of("concerns", column_of("concerns", concerns, "texts", count))
    of_image = range(count) if images is None else column_of("images", images, "names", count)
    sizes = sizes_of(box_format, replies, image_sizes, input_sizes)
    rows = None
    if objects is not None:
        rows = objects_of(column_of("objects", objects, "rows", count), [its.image for its in sizes])
    return Samples(
        replies,
        [*map(cut, replies)],
        references,
        rows,
        options,
        [concern or "" for concern in about],
        [at for at, text in enumerate(references) if options[at] is None and level_of(text)],
        [*map(str, of_image)],
        box_format,
        sizes,
    )


def read_boxes(samples: Samples) -> NamedBoxes:
    """Read every sample by itself; a multiple-choice question has no boxes on either side."""
    has_boxes = [options is None for options in samples.candidates]
    answers = [answer.text for answer in samples.answers]
    answers, references = (
        [text if has else "" for text, has in zip(texts, has_boxes, strict=True)]
        for texts in (answers, samples.references)
    )
    described = np.array(samples.described, np.int64)
    said = [key_part(answers[at]) for at in samples.described]
    predicted_keys = scan_replies(said, samples.box_format, [samples.sizes[at] for at in samples.described])
    if samples.objects is None:
        reference = by_class(scan(references))
        reference_keys = by_class(scan([key_part(references[at]) for at in samples.described]))
    else:
        reference = laid_out(map(_named, samples.objects))
        reference_keys = laid_out(_named(key_objects(samples.objects[at])) for at in samples.described)
    found = scan_replies(answers, samples.box_format, samples.sizes)
    mine, theirs = (side._replace(text=described[side.text]) for side in (by_class(predicted_keys), reference_keys))
    return NamedBoxes(by_class(found), reference, mine, theirs, np.arange(len(answers)), found.malformed)


def _named(objects: Sequence[RatedBox]) -> list[tuple[str, Box]]:
    """Names and boxes of objects."""
    return [(name_of(defect_class(it.category), it.severity), it.box) for it in objects]


def name_of(category: str, severity: str) -> str:
    """Join what `split_name` splits."""
    return f"{severity}\0{category}"


def split_name(name: str) -> tuple[str, str]:
    """Class and severity of a name."""
    said, _, category = name.partition("\0")
    return category, said


def by_class(found: Scan) -> Scan:
    """Name boxes by the class and the severity that their phrases say.

    Example:
        >>> from giqa_datasets.text_scan import scan
        >>> found = by_class(scan(["[Slight blocking artifact](<0, 21>)"]))
        >>> [split_name(name) for name in found.names.spell(found.name)]
        [('blocking artifacts', 'minor')]
    """
    names, place = distinct(found.names)
    read = map(class_and_severity, names.spell(np.arange(len(names.keys))))
    return found._replace(name=place[found.name], names=spelled([name_of(*pair) for pair in read]))


def laid_out(texts: Iterable[Iterable[tuple[str, Box]]]) -> Scan:
    """Lay out the names and boxes of texts as `by_class` does."""
    rows = [(at, name, box) for at, its in enumerate(texts) for name, box in its]
    boxes = np.array([box for _, _, box in rows], dtype=np.float64).reshape(-1, 4)
    text, names = np.array([at for at, _, _ in rows], np.int64), spelled([name for _, name, _ in rows])
    return Scan(text, np.arange(len(rows)), boxes_to_cells(boxes), boxes, names, False, {}, list, {}, {})


def level_of(text: str) -> str:
    r"""Read the level of the whole image in a text's last line, as it is written; "" if there is none.

    Example:
        >>> [level_of(text) for text in ("A cup.\nThus, the quality of the image is fair.", "Poor.", "A fair cup.")]
        ['fair', 'Poor', '']
    """
    line = text.rstrip().rpartition("\n")[2]
    found = _LEVEL.search(line) if " is " in line else _ONLY_LEVEL.fullmatch(line)
    return found[1] if found else ""


def key_part(text: str) -> str:
    r"""The sentence of a description that names the key defects: the first one of the last line but one.

    Example:
        >>> key_part("A cup.\nThe [noise](<5, 254>) matters. The rest is fine.\nThe quality of the image is fair.")
        'The [noise](<5, 254>) matters'
    """
    lines = text.strip().split("\n")
    return re.split(r"\.(?:\s|\Z)", lines[-2], maxsplit=1)[0] if len(lines) > 1 else ""


def option_of(answer: str, candidates: Sequence[str]) -> int | None:
    """Read which option an answer chooses: by its letter, or by the option's own words; None if by neither.

    Example:
        >>> options = ["Noise", "Motion blur"]
        >>> [option_of(answer, options) for answer in ("B.", "The answer is (b)", "motion blur", "C.", "A dog", "")]
        [1, 1, 1, None, None, None]
    """
    text = answer.strip()
    words = [_words(option) for option in candidates]
    if words.count(_words(text)) == 1:
        return words.index(_words(text))
    letter = _OPTION.match(text)
    place = ord(letter[1].lower()) - ord("a") if letter else len(words)
    return place if place < len(words) else None


def options_in(question: str) -> list[str] | None:
    r"""List the options that a question ends in, a line each, `A. words` and on; None if there are fewer than two.

    Example:
        >>> options_in("How severe is it?\nA. Minor\nB. Severe"), options_in("How severe is it?")
        (['Minor', 'Severe'], None)
    """
    lines = [_LETTERED.fullmatch(line.strip()) for line in question.strip().split("\n")]
    begin = next((at for at, line in enumerate(lines) if line is not None), len(lines))
    options = [(line[1], line[2]) for line in lines[begin:] if line is not None]
    is_row = "".join(letter for letter, _ in options) == ascii_uppercase[: len(lines) - begin]
    return [words for _, words in options] if is_row and len(options) > 1 else None


def _words(text: str) -> str:
    return " ".join(text.lower().split()).strip(" .")

"""From a model's reply to the answer in it (protocol section 7, "From a reply to an answer").

A model thinks aloud, ends in its chat template's tokens, and writes boxes as its family does, whatever it was asked.
`read` makes one answer of all that, in four steps: thoughts go, and Markdown's backslashes before brackets; template
tokens at the ends go; the declared box format reads what is left; a net (`foreign_boxes.py`) counts what was plainly
meant as a box and was not read. No reply makes it raise, and time is linear in the reply's length.
"""

import re
from typing import NamedTuple

from giqa_datasets.foreign_boxes import catches_words, with_net
from giqa_datasets.formats import Tokenize
from giqa_datasets.formats import box_format as format_named
from giqa_datasets.formats.frames import UNKNOWN, Sizes
from giqa_datasets.text import GroundedText, Tokens, decoded


VERSION = "v2"  # of these steps; signatures name it


class GroundedReply(NamedTuple):
    """A reply and the answer that was read out of it.

    Attributes:
        reply: As the model gave it; empty where it gave none.
        answer: What is scored: plain text, regions, malformed boxes, those of the kind `foreign` among them.
        n_thoughts: 1 if thoughts were cut, else 0.
        n_tokens: Template tokens that were cut.
    """

    reply: str
    answer: GroundedText
    n_thoughts: int
    n_tokens: int

    @property
    def n_foreign(self) -> int:
        """Malformed boxes that are in the form of another family."""
        return sum(wrong.kind == "foreign" for wrong in self.answer.malformed)


def read(reply: str | None, box_format: str = "giqa", sizes: Sizes = UNKNOWN) -> GroundedReply:
    """Read a reply.

    Args:
        reply: Any string, or None for no reply.
        box_format: The box format that was declared, see `FORMATS`; never guessed.
        sizes: Of the image, for formats that count in its pixels.

    Raises:
        ValueError: If there is no such format, or it needs a size that is not given.

    Example:
        >>> found = read("<think>A [dog](<0, 21>)?</think>The [cup](<5, 254>) is sharp, not the hat [1, 2, 30, 40].")
        >>> found.answer.plain, [wrong.kind for wrong in found.answer.malformed], found.n_thoughts
        ('The cup is sharp, not the hat.', ['foreign'], 1)
    """
    answer, n_thoughts, n_tokens = read_tokens(reply, format_named(box_format).tokens, sizes)
    return GroundedReply(reply or "", decoded(answer), n_thoughts, n_tokens)


def read_tokens(reply: str | None, tokenize: Tokenize, sizes: Sizes) -> tuple[Tokens, int, int]:
    """Read a reply as `read` does, its boxes not yet in an array: the answer, `n_thoughts` and `n_tokens`."""
    text, n_thoughts, n_tokens = cut(reply or "")
    return with_net(tokenize(text, sizes)), n_thoughts, n_tokens


# 1 and 2: thoughts and template tokens

_THOUGHT = r"(?:seed:)?think(?:ing)?|thoughts?|reasoning|reflection|scratchpad"
_ANSWER = r"(?:final_)?answer|response|solution|conclusion"
# `<think>`, `<|begin_of_thought|>`, `<|START_THINKING|>`; Kimi's, Mistral's; channels of gpt-oss, Gemma, MedGemma
_BEGIN_THOUGHT = re.compile(
    rf"<(?:{_THOUGHT}|start_working_out)>|<\|(?:begin_of|start)_(?:{_THOUGHT})\|>|◁think▷|\[THINK\]"
    r"|<\|channel\|?>\s?(?:analysis|commentary|thought)|<unused94>thought",
    re.IGNORECASE,
)
_END_THOUGHT = re.compile(
    rf"</(?:{_THOUGHT})>|<end_working_out>|<\|end_(?:of_)?(?:{_THOUGHT})\|>|◁/think▷|\[/THINK\]"
    r"|<\|channel\|>final[^<]{0,40}(?:<\|constrain\|>[^<]{0,40})?<\|message\|>|<channel\|>|<unused95>",
    re.IGNORECASE,
)
_BEGIN_ANSWER = re.compile(rf"<(?:{_ANSWER})>|<\|(?:begin_of|start)_(?:{_ANSWER})\|>", re.IGNORECASE)
_CLOSED = rf"</(?:{_ANSWER})>|<\|end_(?:of_)?(?:{_ANSWER})\|>"
_END_ANSWER = re.compile(_CLOSED, re.IGNORECASE)
_TOKEN = (
    rf"{_CLOSED}|</?s>|<(?:pad|bos|eos|end_of_turn|end_of_utterance|turn\|)>|<(?:start_of_turn>|\|turn>)model"
    r"|<\|im_start\|>assistant|<\|(?:start_header_id|header_start)\|>assistant<\|(?:end_header_id|header_end)\|>"
    r"|<\|start\|>assistant|<｜(?:end|begin)▁of▁sentence｜>"
    r"|<\|(?:im_end|endoftext|eot_id|eom_id|eot|end|end_of_text|begin_of_text|return|user|assistant)\|>"
)
_FIRST_TOKENS = re.compile(rf"(?:\s*+(?:{_TOKEN}|ASSISTANT:))++\s*+", re.IGNORECASE)
_LAST_TOKEN = re.compile(rf"(?:{_TOKEN})\Z", re.IGNORECASE)
_ONE_TOKEN = re.compile(rf"{_TOKEN}|ASSISTANT:", re.IGNORECASE)
_LONGEST_TOKEN = 60  # characters
# What nothing that is cut does without, but for ◁. One pattern a first letter: `re` then skips ordinary text
_CUT_TAG = re.compile(
    rf"</?(?:{_THOUGHT}|{_ANSWER})>|<(?:start|end)_working_out>|<\|channel\|?>|<channel\|>|<unused9[45]>"
    rf"|<\|(?:begin_of|start|end|end_of)_(?:{_THOUGHT}|{_ANSWER}|box)\|>|{_TOKEN}",
    re.IGNORECASE,
)
_CUT_BRACKET = re.compile(r"\[/?THINK\]", re.IGNORECASE)
_MARKERS = "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>", "<|box_end|>"
_CUT_NAME = re.compile(r"\s*+ASSISTANT:", re.IGNORECASE)
_ESCAPE = re.compile(r"\\++(?=[\[\](){}<>|_])")  # Markdown's
# GLM's tokens around words
_BOXED = re.compile(r"<\|begin_of_box\|>(?![\s\[({]*+[-+.\d]++\s*+[,;\s])([^<]*+)<\|end_of_box\|>")


class Cut(NamedTuple):
    """The answer's text, and how many thoughts (0 or 1) and template tokens were cut off."""

    text: str
    n_thoughts: int
    n_tokens: int


def cut(reply: str) -> Cut:
    r"""Cut thoughts and template tokens off a reply. What has neither stays as it is, but for escapes.

    Thoughts are everything up to the last token that ends one. A thought that begins and never ends leaves no answer.
    Inside the last `<answer>`, closed or not, stands the answer, also where thoughts follow it. The backslash that
    Markdown has before a bracket, `\<3, 254\>`, goes.

    Example:
        >>> cut("<think>No noise.</think>\n\nYes.<|im_end|>")
        Cut(text='Yes.', n_thoughts=1, n_tokens=1)
        >>> cut("<think>No noise, and").text
        ''
    """
    text = _ESCAPE.sub("", reply) if "\\" in reply else reply
    if not _may_be_cut(text):
        return Cut(text, 0, 0)
    bare, n_tokens = _without_tokens(text)
    if n_tokens and not _may_be_cut(bare):  # most replies that hold a token end in it
        return Cut(bare, 0, n_tokens)
    n_thoughts = 0
    answered = _last(_END_ANSWER, text)
    if answered and _is_thought(text[answered.end() :].strip()):
        text, n_thoughts = text[: answered.end()], 1
    if last := _last(_END_THOUGHT, text):
        text, n_thoughts = text[last.end() :].lstrip(), 1
    if _BEGIN_THOUGHT.search(text):
        text, n_thoughts = "", 1
    if begin := _last(_BEGIN_ANSWER, text):
        end = _END_ANSWER.search(text, begin.end())
        text = text[begin.end() : None if end is None else end.start()].strip()
    text, n_tokens = _without_tokens(text)
    text, n_boxed = _BOXED.subn(r"\1", text)
    return Cut(text, n_thoughts, n_tokens + 2 * n_boxed)


def _may_be_cut(text: str) -> bool:
    """Whether a text may hold what is never left in an answer."""
    if "<|box_" in text:  # Qwen2-VL's markers are many, and slow to tell from tokens
        for marker in _MARKERS:
            text = text.replace(marker, "")
    return bool("◁" in text or _CUT_TAG.search(text) or _CUT_BRACKET.search(text) or _CUT_NAME.match(text))


def _is_thought(text: str) -> bool:
    """Whether a text begins and ends with a thought."""
    last = _last(_END_THOUGHT, text)
    return last is not None and last.end() == len(text) and _BEGIN_THOUGHT.match(text) is not None


def _last(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    found = None
    for found in pattern.finditer(text):  # noqa: B007
        pass
    return found


def _without_tokens(text: str) -> tuple[str, int]:
    n_tokens = 0
    if first := _FIRST_TOKENS.match(text):
        n_tokens += len(_ONE_TOKEN.findall(first[0]))
        text = text[first.end() :]
    end = len(text)
    while last := _LAST_TOKEN.search(text, max(0, _rstrip(text, end) - _LONGEST_TOKEN), _rstrip(text, end)):
        n_tokens += 1
        end = last.start()
    return (text[: _rstrip(text, end)], n_tokens) if end < len(text) else (text, n_tokens)


def _rstrip(text: str, end: int) -> int:
    while end and text[end - 1].isspace():
        end -= 1
    return end


def is_plain(reply: str) -> bool:
    """Whether `read` would neither cut nor catch anything, as far as a look of a microsecond tells.

    Brackets are not looked at: whoever asks has read them all as GIQA text, or as `(` before a letter.
    """
    if "{" in reply or "&" in reply or "\\" in reply or catches_words(reply):
        return False
    return ":" not in reply or _CUT_NAME.match(reply) is None

"""The choice of models as plain data, for a command's options, a settings file and a worker."""

import hashlib
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from giqa_datasets import __version__
from giqa_datasets.defaults import BOX_THRESHOLD, COCO, OFFLINE, REGIONS, TEXT_THRESHOLD
from giqa_datasets.errors import InputError
from giqa_datasets.llm import DEFAULT_MODEL, Backend, open_llm
from giqa_datasets.pipeline.protocols import Asker, Detector, Tagger, Verifier
from giqa_datasets.pipeline.stages import Rules


LLM_CALLS = 16  # at once, to a server
DETECTOR = "IDEA-Research/grounding-dino-base"
VERIFIER = "teowu/llava_v1.5_7b_qinstruct_preview_v0.1"  # Q-Instruct; converted to transformers' form where it is not


_NAMED = ("llm", "detector", "verifier", "box_threshold", "text_threshold")  # in a settings file


@dataclass(frozen=True)
class Choice:
    """The models by name, with their thresholds."""

    llm: str = OFFLINE  # for tags and questions: a model folder, a model's name, or `offline` for spaCy and templates
    llm_url: str | None = None  # its OpenAI-compatible server; None runs it here
    detector: str = REGIONS  # Grounding DINO, a folder or a name; `coco+regions`, also called `offline`, or `coco`
    verifier: str = OFFLINE  # a vision-language model, a folder or a name, or `offline` for classic measures
    box_threshold: float = BOX_THRESHOLD  # the least score of a detector's box, in [0, 1]
    text_threshold: float = TEXT_THRESHOLD  # the least score of a box's word, in [0, 1]; Grounding DINO's
    rules: Rules = field(default_factory=Rules)  # of the stages themselves
    device: str | None = None  # of models that run here; None is the GPU if there is one

    def __post_init__(self) -> None:
        """Name the offline detector, and check what can be checked before a model is opened.

        Raises:
            ValueError: If a threshold is not in [0, 1], or a server is named without a model.
        """
        if self.detector == OFFLINE:
            object.__setattr__(self, "detector", REGIONS)
        if self.llm_url is not None and self.llm == OFFLINE:
            raise InputError(f"expected an LLM by the name under which {self.llm_url} knows it, got {OFFLINE!r}")
        thresholds = asdict(self) | asdict(self.rules)
        for name in ("box_threshold", "text_threshold", "merge_area", "merge_coverage"):
            if not 0 <= thresholds[name] <= 1:
                raise InputError(f"expected {name} from 0 to 1, got {thresholds[name]}")

    @classmethod
    def of_settings(cls, settings: dict[str, Any]) -> Self:
        """Read the dict that `settings` wrote.

        Raises:
            ValueError: If an item is missing or not valid.
        """
        try:
            rules = Rules(*(settings[field.name] for field in fields(Rules)))
            return cls(**{name: settings[name] for name in _NAMED}, rules=rules)
        except (KeyError, TypeError) as error:
            raise InputError(f"expected the settings of a folder of annotations, got none for {error}") from error

    def settings(self) -> dict[str, Any]:
        """Return all that can change the result, for a settings file; the device cannot."""
        named = {name: getattr(self, name) for name in _NAMED}
        return {"giqa": __version__} | named | asdict(self.rules) | {"files": _versions()}


# The models that need no server and no hub (extra `demo`), and the paper's: Llama 3, Grounding DINO and Q-Instruct
PRESETS = {OFFLINE: Choice(), "paper": Choice(llm=DEFAULT_MODEL, detector=DETECTOR, verifier=VERIFIER)}


class OpenModels:
    """The models of a choice, each opened when it is first asked for.

    Opening one raises ImportError if its packages are not installed, and OSError if it cannot be had.
    """

    def __init__(self, choice: Choice) -> None:
        """Open nothing yet."""
        self.choice = choice

    @cached_property
    def _llm(self) -> Backend:
        choice = self.choice
        return open_llm(choice.llm, choice.llm_url, concurrency=LLM_CALLS, device=choice.device)

    @cached_property
    def tagger(self) -> Tagger:
        """Finds the objects of a description."""
        if self.choice.llm == OFFLINE:
            from giqa_datasets.pipeline.backends.spacy_tagger import SpacyTagger

            return SpacyTagger()
        from giqa_datasets.pipeline.backends.llm_tagger import LlmTagger

        return LlmTagger(self._llm)

    @cached_property
    def detector(self) -> Detector:
        """Finds phrases in images."""
        choice = self.choice
        if choice.detector == COCO:
            from giqa_datasets.pipeline.backends.coco_detector import CocoDetector

            return CocoDetector(box_threshold=choice.box_threshold)
        if choice.detector == REGIONS:
            from giqa_datasets.pipeline.backends.region_detector import RegionDetector

            return RegionDetector(box_threshold=choice.box_threshold)
        from giqa_datasets.pipeline.backends.grounding_dino import GroundingDino

        return GroundingDino(
            choice.detector,
            box_threshold=choice.box_threshold,
            text_threshold=choice.text_threshold,
            device=choice.device,
        )

    @cached_property
    def verifier(self) -> Verifier:
        """Judges crops."""
        if self.choice.verifier == OFFLINE:
            from giqa_datasets.pipeline.backends.classic_verifier import ClassicVerifier

            return ClassicVerifier()
        from giqa_datasets.pipeline.backends.vlm_verifier import VlmVerifier

        return VlmVerifier(self.choice.verifier, device=self.choice.device)

    @cached_property
    def asker(self) -> Asker:
        """Writes questions."""
        if self.choice.llm == OFFLINE:
            from giqa_datasets.pipeline.backends.template_asker import TemplateAsker

            return TemplateAsker()
        from giqa_datasets.pipeline.backends.llm_asker import LlmAsker

        return LlmAsker(self._llm)


def _versions() -> dict[str, str]:
    """The start of the sha256 of the pipeline's prompts, pools and word lists, by name."""
    here = Path(__file__).parent
    files = [path for path in here.rglob("*") if path.suffix in (".txt", ".json")]
    files = sorted([*files, here.parent / "des_questions.v1.txt"])
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest()[:8] for path in files}

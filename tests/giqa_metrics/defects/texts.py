"""Defects as lists, and the texts that say them."""

from collections.abc import Iterable, Sequence


SIDE = 1000  # boxes are in thousandths
Defect = tuple[str, Sequence[float]]  # phrase, corners


def giqa_text(defects: Iterable[Defect]) -> str:
    """As GIQA text, in decimals."""
    return " and ".join(f"[{phrase}](<{', '.join(f'{side / SIDE:.3f}' for side in box)}>)" for phrase, box in defects)


def marked(phrase: str, boxes: Iterable[Sequence[float]]) -> str:
    """A phrase and its boxes as Qwen2-VL writes them."""
    ends = (f"<|box_start|>({x1},{y1}),({x2},{y2})<|box_end|>" for x1, y1, x2, y2 in boxes)
    return f"<|object_ref_start|>{phrase}<|object_ref_end|>{''.join(ends)}"


def blocks(defects: Iterable[Defect]) -> str:
    """As Qwen2-VL-ViDA's answer about a whole image, each phrase a class without a severity."""
    return (
        "\n".join(f"{phrase}:\n{marked(f'Moderate {phrase.lower()}', [box])}" for phrase, box in defects)
        + ".<|im_end|>"
    )


def description(defects: Iterable[Defect], keys: Iterable[Defect] = (), level: str = "fair") -> str:
    """As its description of one."""
    said = ". ".join(f"There is one {marked(phrase, [box])}" for phrase, box in defects)
    key = " and ".join(marked(phrase, [box]) for phrase, box in keys)
    return (
        f"A cup.\n{said}.\nThe {key} matters most. It is dark.\nThus, the quality of the image is {level}.<|im_end|>"
    )


def row(defects: Iterable[Defect], **more: Sequence) -> dict:
    """As a row of the column `objects`, on an image of 1000 x 1000 pixels."""
    defects = list(defects)
    bbox = [[x1, y1, x2 - x1, y2 - y1] for _, (x1, y1, x2, y2) in defects]
    return {"bbox": bbox, "category": [phrase for phrase, _ in defects], **more}

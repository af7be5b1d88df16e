"""LLaVA-1.5's boxes: `tower [0.50, 0.25, 1.00, 0.50]`, two decimals of the padded square.

Example:
    >>> sizes = frames.Sizes(image=(400, 200))
    >>> (tower,) = inline.read("The tower [0.50, 0.25, 1.00, 0.50] is sharp.", sizes, style=STYLE).regions
    >>> tower.phrase, tower.boxes.tolist()
    ('tower', [[0.5, 0.0, 1.0, 0.5]])
"""

from functools import partial

from giqa_datasets.formats import frames, inline


STYLE = inline.Style(partial(frames.padded_square, "llava"), digits=2, lead=" ", comma=", ", between="] [")

"""GroundingGPT's boxes: `dogs[0.100, 0.250, 0.500, 0.750][...]` in the padded square.

It writes decimals of any length; the three that are written here are ours.

Example:
    >>> sizes = frames.Sizes(image=(400, 200))
    >>> (tower,) = inline.read("The tower[0.5, 0.25, 1.0, 0.5] is sharp.", sizes, style=STYLE).regions
    >>> tower.phrase, tower.boxes.tolist()
    ('tower', [[0.5, 0.0, 1.0, 0.5]])
"""

from functools import partial

from giqa_datasets.formats import frames, inline


STYLE = inline.Style(partial(frames.padded_square, "groundinggpt"), digits=3, lead="", comma=", ", between="][")

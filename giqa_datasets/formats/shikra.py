"""Shikra's boxes: `dogs[0.100,0.250,0.500,0.750;0.600,0.250,0.900,0.750]`, three decimals of the padded square.

Example:
    >>> sizes = frames.Sizes(image=(400, 200))
    >>> (tower,) = inline.read("The tower[0.500,0.250,1.000,0.500] is sharp.", sizes, style=STYLE).regions
    >>> tower.phrase, tower.boxes.tolist()
    ('tower', [[0.5, 0.0, 1.0, 0.5]])
"""

from functools import partial

from giqa_datasets.formats import frames, inline


STYLE = inline.Style(partial(frames.padded_square, "shikra"), digits=3, lead="", comma=",", between=";")

"""Ferret's boxes: `tower [120, 40, 310, 990]`, integers 0-1000 of the original image.

Example:
    >>> (tower,) = inline.read("The tower [100, 200, 300, 400] is sharp.", style=STYLE).regions
    >>> tower.phrase, tower.boxes.tolist()
    ('tower', [[0.1, 0.2, 0.3, 0.4]])
"""

from giqa_datasets.formats import inline
from giqa_datasets.formats.frames import PER_MILLE


STYLE = inline.Style(lambda sizes: PER_MILLE, digits=0, lead=" ", comma=", ", between="] [")

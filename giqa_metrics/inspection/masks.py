"""Masks of boxes: what an inpainting model is given."""

import numpy as np
from PIL import Image, ImageDraw

from giqa_datasets.boxes import Boxes


def mask(xyxy: Boxes, size: tuple[int, int]) -> Image.Image:
    """Draw boxes as a mask: white inside, black outside. It is rectangles, for that is all that a box says.

    A pixel that a box meets at all is white, so that nothing of the defect is left beside the mask.

    Args:
        xyxy: Boxes of shape (N, 4), normalised corners in [0, 1].
        size: (width, height) of the photograph, in pixels.

    Returns:
        An image of that size, mode L, of 0 and 255 alone.

    Example:
        >>> mask(np.array([[0.5, 0.0, 1.0, 0.3]]), (4, 4)).getbbox()
        (2, 0, 4, 2)
    """
    image = Image.new("L", size)
    draw = ImageDraw.Draw(image)
    xyxy_px = np.round(xyxy * np.array(size * 2), 6)  # so that 0.3 of 80 pixels are 24, and not a little more
    corners = np.concatenate([np.floor(xyxy_px[:, :2]), np.ceil(xyxy_px[:, 2:]) - 1], axis=1)
    for box_px in corners.astype(int).tolist():
        draw.rectangle(box_px, fill=255)
    return image

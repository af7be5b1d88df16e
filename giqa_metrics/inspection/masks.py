"""Masks of boxes, for an inpainting model."""

import numpy as np
from PIL import Image, ImageDraw

from giqa_datasets.boxes import Boxes


def mask(xyxy: Boxes, size: tuple[int, int]) -> Image.Image:
    """Draw boxes as a mask of rectangles: white inside, black outside.

    A pixel that a box touches is white, so that the mask covers the whole defect.

    Args:
        xyxy: Boxes of shape (N, 4), normalised corners in [0, 1].
        size: (width, height) of the photograph, in pixels.

    Returns:
        An image of that size, mode L, with the values 0 and 255.

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

"""How pictures of another size become the size that is stored.

H W pixels; "source" is the picture as it is on disk.

Frames are resized with one of Pillow's filters; a frame that has the right size already stays as it
is, bit for bit. Labels and measurements (masks, flow, depth) are never mixed: row i of H comes from
row floor(i * H_source / H) of the source, the even ones at half the size, as in the published
loader of MOVi.
"""

from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ocvp.config.datasets import ResizeFilter

FILTERS = {name: Image.Resampling[name.upper()] for name in get_args(ResizeFilter)}
"""Names of the config to Pillow's filters; all but `nearest` average over what they leave out."""

Fit = Literal["crop", "stretch"]


class Crop(NamedTuple):
    """The part of the source's frame that is used, as fractions of it."""

    top: float
    left: float
    bottom: float
    right: float


WHOLE = Crop(0.0, 0.0, 1.0, 1.0)


def choose_crop(size: tuple[int, int], resolution: tuple[int, int], fit: Fit) -> Crop:
    """Return the part of a frame that is used.

    Args:
        size: Height and width of the source.
        resolution: Height and width to make.
        fit: `crop`: the largest part in the middle with the shape of `resolution`, in whole pixels;
            `stretch`: all of it.
    """
    if fit == "stretch":
        return WHOLE
    height, width = size
    # pixels of the source for one of the frame that is made
    scale = min(height / resolution[0], width / resolution[1])
    rows, columns = (max(1, round(scale * side)) for side in resolution)
    top, left = (height - rows) // 2, (width - columns) // 2
    return Crop(top / height, left / width, (top + rows) / height, (left + columns) / width)


def resize_frame(
    picture: Image.Image,
    resolution: tuple[int, int],
    resize: ResizeFilter = "bicubic",
    crop: Crop = WHOLE,
) -> NDArray[np.uint8]:
    """Cut a part out of a frame and bring it to a size.

    Args:
        picture: The frame, in a mode of 8 bits (RGB, L).
        resolution: Height H and width W to make.
        resize: Pillow's filter; not used where the part has the right size.
        crop: The part.

    Returns:
        Shape (H, W, 3), or (H, W) for mode L.
    """
    height, width = resolution
    # Cut before resizing: the filter reaches over the edge of a box that resize is given.
    part = picture if crop == WHOLE else picture.crop(_pixel_box(crop, picture.size))
    factors = part.width // width, part.height // height
    # Pillow's sizes are width first, ours height first.
    if part.size == (width, height):
        return np.asarray(part)
    if resize == "box" and part.size == (factors[0] * width, factors[1] * height):
        # Exact means: resizing would round those of the columns of means that were rounded.
        return np.asarray(part.reduce(factors))
    return np.asarray(part.resize((width, height), FILTERS[resize]))


def resize_labels(values: NDArray, resolution: tuple[int, int], crop: Crop = WHOLE) -> NDArray:
    """Cut a part out of a map of labels or measurements, and take every n-th pixel of it.

    Args:
        values: Shape (H_source, W_source, ...).
        resolution: Height H and width W to make.
        crop: The part.

    Returns:
        Shape (H, W, ...): row i is row floor(i * rows / H) of the part; columns likewise. Values
        are as they were (flow, in pixels of the source, is not scaled).
    """
    height, width = values.shape[:2]
    left, top, right, bottom = _pixel_box(crop, (width, height))
    rows = top + np.arange(resolution[0]) * (bottom - top) // resolution[0]  # (H,)
    columns = left + np.arange(resolution[1]) * (right - left) // resolution[1]  # (W,)
    return values[rows[:, None], columns]  # (H, W, ...)


def _pixel_box(crop: Crop, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom in pixels of a source of width and height `size`."""
    width, height = size
    left, right = (round(edge * width) for edge in (crop.left, crop.right))
    top, bottom = (round(edge * height) for edge in (crop.top, crop.bottom))
    return left, top, right, bottom

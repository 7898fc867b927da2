"""From the boxes of the video files to what a model's initializer takes.

The files hold boxes (y_min, x_min, y_max, x_max) as fractions of the frame, all -1 where an object
is absent. A model's `box_format` says what it takes:

- `yxyx_fraction`: boxes as in the files, and centres (y, x) as fractions, all -1 where absent.
- `published_pixels`: boxes (x_min, y_min, x_max, y_max) and centres (x, y) in pixels of a frame of
  64 pixels, all -0.5 where absent, with the clipping and rounding that the published networks were
  trained with. That happens at side 128, before halving, whatever the size of the frames.

K objects; `...` any leading dimensions.
"""

import torch
from torch import Tensor

from ocvp.models.savi import BoxFormat, Initializer

PUBLISHED_SIDE = 128  # pixels of the frames that the published boxes were made at


def model_boxes(boxes: Tensor, box_format: BoxFormat) -> Tensor:
    """Convert boxes of a file to a model's convention, shape (..., K, 4) to (..., K, 4)."""
    if box_format == "yxyx_fraction":
        return boxes
    return _pixel_boxes(boxes) / 2.0


def model_centres(boxes: Tensor, box_format: BoxFormat) -> Tensor:
    """Convert boxes of a file to centres in a model's convention, shape (..., K, 4) to (..., K, 2).

    Absent objects stay absent: the mean of equal coordinates is that coordinate.
    """
    if box_format == "yxyx_fraction":
        return (boxes[..., :2] + boxes[..., 2:]) / 2.0
    pixels = _pixel_boxes(boxes)
    return torch.round((pixels[..., :2] + pixels[..., 2:]) / 2.0) / 2.0


def model_conditions(
    boxes: Tensor | None, *, initializer: Initializer, box_format: BoxFormat
) -> dict[str, Tensor]:
    """Return what the initializer takes of the boxes, as keyword arguments of `SAVi.encode`.

    Args:
        boxes: Boxes of a file, shape (..., K, 4), fractions in [0, 1] or all -1; None where the
            file has none.
        initializer: The model's initializer.
        box_format: The model's convention.

    Returns:
        `boxes` or `centres` in the model's convention; nothing for the random initializers.

    Raises:
        ValueError: If the initializer needs boxes and there are none.
    """
    if initializer not in ("boxes", "centres"):
        return {}
    if boxes is None:
        raise ValueError(f"the initializer is {initializer!r} and the videos have no boxes")
    if initializer == "boxes":
        return {"boxes": model_boxes(boxes, box_format)}
    return {"centres": model_centres(boxes, box_format)}


def _pixel_boxes(boxes: Tensor) -> Tensor:
    """Return (x_min, y_min, x_max, y_max) in pixels at side 128, clipped, -1 where absent."""
    absent = (boxes < 0).all(dim=-1, keepdim=True)
    y_min, x_min, y_max, x_max = (boxes * PUBLISHED_SIDE).unbind(dim=-1)
    minima = torch.stack([x_min, y_min], dim=-1).clamp(min=1)
    maxima = torch.stack([x_max, y_max], dim=-1).clamp(max=PUBLISHED_SIDE - 1)
    return torch.cat([minima, maxima], dim=-1).masked_fill(absent, -1.0)

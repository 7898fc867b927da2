"""What a SAVi is given with the frames: boxes or centres of the objects, or noise.

The files hold boxes (y_min, x_min, y_max, x_max) as fractions of the frame, all -1 where an object
is absent. A model's `box_format` says what it takes:

- `yxyx_fraction`: boxes as in the files, and centres (y, x) as fractions, all -1 where absent.
- `published_pixels`: boxes (x_min, y_min, x_max, y_max) and centres (x, y) in pixels of a frame of
  64 pixels, all -0.5 where absent, with the clipping and rounding that the published networks were
  trained with. That happens at side 128, before halving, whatever the size of the frames.

B batch, T frames, N slots, D slot_dim, K objects; `...` any leading dimensions.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Required, TypedDict

import numpy as np
import torch
from torch import Tensor

from ocvp.batches.windows import Window, to_model
from ocvp.compute.randomness import generator
from ocvp.data.videos import VideoFile
from ocvp.models.savi import BoxFormat, SAVi

CONDITIONAL = ("boxes", "centres")
"""Initializers that start from the boxes of the file."""
DRAWN = ("random", "learned_random")
"""Initializers that start from noise."""

PUBLISHED_SIDE = 128
"""Pixels of the frames that the published boxes were made at."""


class SaviInputs(TypedDict, total=False):
    """Arguments of `SAVi.encode`: the frames, and what its initializer needs."""

    frames: Required[Tensor]
    boxes: Tensor
    centres: Tensor
    noise: Tensor


def video_sources(savi: SAVi, videos: Path) -> dict[str, tuple[Path, str]]:
    """Return the fields of a file of videos that a SAVi reads, for `WindowReader`.

    Raises:
        ValueError: If the SAVi starts from boxes and the file has none, the frames have another
            size than the SAVi was made for, or there are more objects than slots.
    """
    sources = {"frames": (videos, "frames")}
    with VideoFile(videos) as file:
        size = (file.height, file.width)
        has_boxes, objects = file.has("boxes"), file.max_objects
    if size != tuple(savi.resolution):
        raise ValueError(f"{videos}: frames are {size}, this SAVi takes {tuple(savi.resolution)}")
    if savi.initializer_kind in CONDITIONAL:
        if not has_boxes:
            raise ValueError(
                f"{videos} has no boxes, but this SAVi starts from them (initializer "
                f"{savi.initializer_kind}); use initializer learned, learned_random or random"
            )
        if objects > savi.num_slots:
            raise ValueError(
                f"{videos}: {objects} objects, but this SAVi has {savi.num_slots} slots"
            )
        sources["boxes"] = (videos, "boxes")
    return sources


def savi_inputs(
    savi: SAVi,
    windows: Sequence[Window],
    batch: Mapping[str, Tensor],
    *,
    seed: int,
    purpose: str,
    epoch: int = 0,
) -> SaviInputs:
    """Return the arguments of a SAVi for one batch of windows.

    Args:
        savi: The model; the tensors go to its device.
        windows: The windows that were read, on which the noise depends.
        batch: `frames` uint8 (B, T, H, W, 3), and `boxes` (B, T, K, 4) where the SAVi wants them.
        seed: The run's seed.
        purpose: What the noise is for, for example `train`.
        epoch: The epoch, on which the noise depends.
    """
    device = next(savi.parameters()).device
    inputs: SaviInputs = {"frames": to_model(batch["frames"], device)}  # (B, T, 3, H, W)
    if savi.initializer_kind in CONDITIONAL:
        boxes = batch["boxes"].to(device, non_blocking=True)[:, 0]  # (B, K, 4), the first frame's
        if savi.initializer_kind == "boxes":
            inputs["boxes"] = model_boxes(boxes, savi.box_format)
        else:
            inputs["centres"] = model_centres(boxes, savi.box_format)
    elif savi.initializer_kind in DRAWN:
        noise = slot_noise(seed, purpose, epoch, windows, savi.num_slots, savi.slot_dim)
        if device.type == "cuda":  # from other memory the copy would wait for the step before
            noise = noise.pin_memory()
        inputs["noise"] = noise.to(device, non_blocking=True)  # (B, N, D)
    return inputs


def slot_noise(
    seed: int, purpose: str, epoch: int, windows: Sequence[Window], num_slots: int, slot_dim: int
) -> Tensor:
    """Return the unit normal noise of the first slots, float32 (B, N, D), one draw a window."""
    draws = [
        generator(seed, "slot noise", purpose, epoch, window.video, window.start).standard_normal(
            (num_slots, slot_dim), dtype=np.float32
        )
        for window in windows
    ]
    return torch.from_numpy(np.stack(draws))


@torch.no_grad()
def encode_from_start(
    savi: SAVi, windows: Sequence[Window], batch: Mapping[str, Tensor], *, seed: int, purpose: str
) -> Tensor:
    """Return SAVi's slots (B, T, N, D) of windows that start on frame 0."""
    return savi.encode(**savi_inputs(savi, windows, batch, seed=seed, purpose=purpose))


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
    pixels = _pixel_boxes(boxes)  # (..., K, 4), x before y
    return torch.round((pixels[..., :2] + pixels[..., 2:]) / 2.0) / 2.0


def _pixel_boxes(boxes: Tensor) -> Tensor:
    """Return (x_min, y_min, x_max, y_max) in pixels at side 128, clipped, -1 where absent."""
    absent = (boxes < 0).all(dim=-1, keepdim=True)
    y_min, x_min, y_max, x_max = (boxes * PUBLISHED_SIDE).unbind(dim=-1)
    minima = torch.stack([x_min, y_min], dim=-1).clamp(min=1)
    maxima = torch.stack([x_max, y_max], dim=-1).clamp(max=PUBLISHED_SIDE - 1)
    return torch.cat([minima, maxima], dim=-1).masked_fill(absent, -1.0)

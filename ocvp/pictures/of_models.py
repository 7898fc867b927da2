"""Figures of trained models on videos of a data set.

T frames, H W pixels, N slots, D slot_dim.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ocvp.batches.savi_inputs import encode_from_start, video_sources
from ocvp.batches.windows import Window, WindowReader
from ocvp.data.videos import VideoFile
from ocvp.evaluation.tracking_metrics import assign_slots
from ocvp.models.rollout import rollout
from ocvp.models.savi import SAVi
from ocvp.pictures.animation import rollout_animation
from ocvp.pictures.decoded import Decoded, decoded
from ocvp.pictures.drawing import rollout_strip, slots_panel
from ocvp.pictures.overlays import background_slot, slot_colours


@torch.no_grad()
def slots_figure(savi: SAVi, videos: Path, *, seed: int, factor: int | None) -> np.ndarray:
    """Draw what each slot of a SAVi holds over the first video of a file.

    Args:
        savi: The model.
        videos: Videos (HDF5).
        seed: Seed of the slots' noise.
        factor: Enlargement of the frames; None: as fits a screen.

    Returns:
        Picture, uint8, shape (height, width, 3).
    """
    with VideoFile(videos) as file:
        num_frames = file.num_frames
    reader = WindowReader(video_sources(savi, videos), num_frames, residency="disk")
    windows, batch = reader[[Window(0, 0)]]
    slots = encode_from_start(savi, windows, batch, seed=seed, purpose="score")
    found = decoded(savi.decode(slots[0]))  # of (T, N, D)
    frames = batch["frames"][0].numpy()  # (T, H, W, 3)
    return slots_panel(frames, found.objects, found.masks, factor=factor)


@dataclass(frozen=True)
class DrawnRollout:
    """The rollout of one video, to be drawn as a strip or as an animation."""

    frames: np.ndarray
    """True frames, uint8, shape (T, H, W, 3)."""
    found: Decoded
    """What the slots of the context and the predicted ones decode to, of the same T."""
    shown: Mapping[str, Any]
    """The other arguments of `rollout_strip` and `rollout_animation`."""

    def strip(self, factor: int | None) -> np.ndarray:
        """Return the strip, uint8, shape (height, width, 3)."""
        return rollout_strip(self.frames, self.found.frames, factor=factor, **self.shown)

    def animation(self, factor: int) -> list[np.ndarray]:
        """Return the animation's pictures, uint8, shape (height, width, 3) each."""
        return rollout_animation(self.frames, self.found.frames, factor=factor, **self.shown)


@torch.no_grad()
def drawn_rollouts(
    savi: SAVi, predictor: nn.Module, videos: Path, slots: Path, num_context: int, num_preds: int
) -> Iterator[DrawnRollout]:
    """Yield the rollout of each video, from its first frame on.

    Args:
        savi: The SAVi that the predictor was trained on.
        predictor: The predictor, on the same device.
        videos: Videos (HDF5).
        slots: Their slots (HDF5).
        num_context: Context frames.
        num_preds: Frames to predict.
    """
    device = next(savi.parameters()).device
    sources = {"frames": (videos, "frames"), "slots": (slots, "slots")}
    with VideoFile(videos) as file:
        num_videos = file.num_videos
        if file.has("masks"):
            sources["masks"] = (videos, "masks")
    reader = WindowReader(sources, num_context + num_preds, residency="disk")
    for video in range(num_videos):
        _, batch = reader[[Window(video, 0)]]
        context = batch["slots"][:, :num_context].to(device)  # (1, num_context, N, D)
        predicted = rollout(predictor, context, num_preds)  # (1, num_preds, N, D)
        found = decoded(savi.decode(torch.cat([context, predicted], dim=1)[0]))
        true_labels = batch["masks"][0].numpy() if "masks" in batch else None
        shown = {
            "num_context": num_context,
            "true_labels": true_labels,
            "predicted_labels": found.labels,
            "colours": _colours(found, true_labels, num_context - 1),
        }
        yield DrawnRollout(batch["frames"][0].numpy(), found, shown)


def _colours(found: Decoded, true_labels: np.ndarray | None, last: int) -> np.ndarray:
    """Return colours in which a slot looks like the object that it held in the frame `last`."""
    num_slots = found.masks.shape[1]
    if true_labels is None:
        return slot_colours(num_slots)
    num_objects = int(true_labels.max(initial=0))
    assignment = assign_slots(true_labels[None, last], found.masks[None, last], num_objects)[0]
    background = background_slot(true_labels[last], found.labels[last])
    return slot_colours(num_slots, assignment, background)

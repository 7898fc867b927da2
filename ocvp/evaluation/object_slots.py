"""Which slot holds each object, and what is known of it: what probes are fitted on and scored with.

B videos of a batch, T frames, N slots, D slot_dim, K objects, H W pixels.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ocvp.batches.windows import Window, WindowReader
from ocvp.config.tree import Runtime
from ocvp.data.videos import VideoFile
from ocvp.evaluation.object_labels import Labels, ObjectLabels
from ocvp.evaluation.tracking_metrics import UNASSIGNED, assign_slots
from ocvp.models.savi import SAVi
from ocvp.runtime.progress import progress


class Batch(NamedTuple):
    """Videos, from their first frames on."""

    windows: list[Window]
    slots: Tensor
    """SAVi's, (B, T, N, D)."""
    masks: NDArray[np.uint8]
    """True labels, (B, T, H, W)."""
    labels: Labels
    """What is known of the objects, (B, T, K, ...)."""
    num_objects: int
    """K."""


def read_batches(
    videos: Path, slots: Path, num_frames: int, order: Sequence[int] | None, runtime: Runtime
) -> Iterator[Batch]:
    """Go through the first frames of videos.

    Args:
        videos: The file.
        slots: The slots of its frames.
        num_frames: Frames of each video.
        order: Videos, in this order; None: all.
        runtime: How many videos at once, and how they are read.

    Raises:
        ValueError: If the file has no masks, or something is damaged.
    """
    sources = {"slots": (slots, "slots"), "masks": (videos, "masks")}
    with VideoFile(videos) as file:
        if not file.has("masks"):
            raise ValueError(f"{videos} has no masks, so nothing is known of its objects to probe")
        labels = ObjectLabels(file)
        reader = WindowReader(sources, num_frames, residency="disk")
        chosen = range(file.num_videos) if order is None else order
        plan = _batches([Window(int(video), 0) for video in chosen], runtime.batch_videos)
        with progress(description="probing slots", total=len(chosen)) as bar:
            for windows, batch in reader.batches(plan, runtime.num_workers or 0):
                masks = batch["masks"].numpy()
                found = [labels.read(w.video, m) for w, m in zip(windows, masks, strict=True)]
                stacked = {target: np.stack([own[target] for own in found]) for target in found[0]}
                yield Batch(list(windows), batch["slots"], masks, stacked, file.max_objects)
                bar.update(len(windows))


def _batches(windows: list[Window], size: int) -> list[list[Window]]:
    return [windows[start : start + size] for start in range(0, len(windows), size)]


def of_objects(slots: Tensor, assignment: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the slot of each object, (B, T, K, D), any one where it has none.

    Args:
        slots: Slots (B, T, N, D).
        assignment: Slot of each object, (B, K).
    """
    chosen = np.maximum(assignment, 0)[:, None, :, None]  # (B, 1, K, 1)
    return np.take_along_axis(slots.cpu().numpy(), chosen, axis=2)


def of_counted(labels: Labels, masks: NDArray[np.uint8], assignment: NDArray[np.int64]) -> Labels:
    """Return labels, unknown where an object does not count: it is hidden, or has no slot.

    Args:
        labels: Labels (B, T, K, ...).
        masks: True labels, (B, T, H, W).
        assignment: Slot of each object, (B, K).
    """
    objects = np.arange(1, assignment.shape[1] + 1)
    visible = (masks[:, :, None] == objects[:, None, None]).any(axis=(-2, -1))  # (B, T, K)
    counted = visible & (assignment != UNASSIGNED)[:, None]  # (B, T, K)
    return {
        target: np.where(counted, values, "")
        if values.ndim == 3
        else np.where(counted[..., None], values, np.nan)
        for target, values in labels.items()
    }


def assign_over_clip(savi: SAVi, batch: Batch) -> NDArray[np.int64]:
    """Say which slot belongs to each object, (B, K): by all frames of a clip together.

    That is: `assign_slots` on the IoU of all the clip's pixels, as of one large frame.
    """
    # frame by frame, since what a decoder needs in between is many times its masks
    frames = [decoded_masks(savi, slots) for slots in batch.slots.unbind(dim=1)]
    side_by_side = np.concatenate(frames, axis=-1)  # (B, N, H, T * W)
    true_labels = np.concatenate(list(np.moveaxis(batch.masks, 1, 0)), axis=-1)  # (B, H, T * W)
    return assign_slots(true_labels, side_by_side, batch.num_objects)


def decoded_masks(savi: SAVi, slots: Tensor) -> NDArray[np.float32]:
    """Return the masks of one frame's slots, (B, N, D) to (B, N, H, W)."""
    device = next(savi.parameters()).device
    masks: NDArray[np.float32] = savi.decode(slots.to(device)).masks.squeeze(-3).cpu().numpy()
    return masks

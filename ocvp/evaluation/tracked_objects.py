"""What is known of the objects whose centres a rollout is scored by.

B videos of a batch, T frames, N slots, K objects, H W pixels.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from torch import Tensor

from ocvp.evaluation.scoring import Scores, without_objects
from ocvp.evaluation.tracking_metrics import (
    assign_slots,
    constant_velocity_distances,
    object_motion,
    touched_by,
)


class TrackedObjects(NamedTuple):
    """The objects of a batch."""

    labels: np.ndarray
    """True labels of the predicted frames, (B, num_preds, H, W)."""
    assignment: np.ndarray
    """The slot of each object, (B, K), from the last context frame on."""
    touched: np.ndarray | None
    """Which had a contact by each predicted frame, (B, num_preds, K); None: not known."""
    velocity_distances: np.ndarray | None
    """`constant_velocity_distances`, (B, num_preds, K); None where the context is one frame."""
    of_videos: Scores
    """Of each video, (B,): `motion`, the farthest that an object's centre gets from where it is in
    the last context frame, in pixels; `without_objects`, whether no predicted frame shows one; and
    `objects`, how many are shown in some predicted frame."""


def tracked_objects(
    batch: Mapping[str, Tensor], last_masks: np.ndarray, num_context: int
) -> TrackedObjects:
    """Find the objects of a batch, and the slots that hold them in the last context frame.

    Args:
        batch: `masks` uint8 (B, T, H, W), and where there are any `object_contacts` uint8
            (B, T, K).
        last_masks: SAVi's soft masks of the last context frame, (B, N, H, W).
        num_context: Frames that are given; the others are predicted.

    Raises:
        ValueError: If contacts are of fewer objects than the masks show.
    """
    labels = batch["masks"].numpy()
    future = labels[:, num_context:]
    num_objects, touched, velocity_distances = int(labels.max(initial=0)), None, None
    if "object_contacts" in batch:
        contacts = batch["object_contacts"].numpy()  # (B, T, K)
        num_objects, touched = contacts.shape[-1], touched_by(contacts[:, num_context:])
    assignment = assign_slots(labels[:, num_context - 1], last_masks, num_objects)
    if num_context > 1:
        velocity_distances = constant_velocity_distances(labels, assignment, num_context)
    shown = [(future == k + 1).any(axis=(1, 2, 3)) for k in range(num_objects)]  # (B,) each
    of_videos = {
        "motion": object_motion(labels[:, num_context - 1 :], num_objects),
        "without_objects": without_objects(future),
        "objects": sum(shown, np.zeros(len(labels), int)),
    }
    return TrackedObjects(future, assignment, touched, velocity_distances, of_videos)

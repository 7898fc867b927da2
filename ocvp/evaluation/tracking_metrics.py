"""How far the slots' segments drift from the objects that they hold.

V videos, T frames, N slots, K objects, H, W pixels. True labels are 0 for the background and k + 1
for object k, as in the video files.
"""

import numpy as np
from scipy.optimize import linear_sum_assignment

from ocvp.evaluation.segmentation_metrics import (
    intersection_over_union,
    labels_from_masks,
    mean_of_defined,
)

UNASSIGNED = -1


def assign_slots(true_labels: np.ndarray, masks: np.ndarray, num_objects: int) -> np.ndarray:
    """Say which slot belongs to each object, by one frame: SAVi's last context frame.

    Hungarian matching of the slots' hard segments to the objects present, on IoU. It is made once,
    on SAVi's own masks, and held over the predicted frames and over all predictors: what is scored
    afterwards is tracking, not another matching.

    Args:
        true_labels: True labels of the frame, integers, shape (V, H, W).
        masks: SAVi's soft masks of the frame, shape (V, N, H, W).
        num_objects: Number K of objects to report, at least the largest true label.

    Returns:
        Slot of each object, int64, shape (V, K); `UNASSIGNED` where the object has no pixel in
        this frame, or where there are more objects than slots and it fits worst.

    Raises:
        ValueError: If the shapes do not match, or num_objects is below the largest true label.
    """
    num_videos, num_slots = masks.shape[:2]
    _check_num_objects(true_labels, num_objects)
    labels = labels_from_masks(masks)  # (V, H, W)
    overlaps, sizes = intersection_over_union(true_labels, labels)  # (V, K + 1, N), (V, K + 1)
    # Slots without a pixel in any video are past the table's edge, yet may still be assigned.
    padding = num_slots - overlaps.shape[-1]
    overlaps = np.pad(overlaps[:, 1:], ((0, 0), (0, 0), (0, padding)))  # (V, K, N)
    assignment = np.full((num_videos, num_objects), UNASSIGNED, dtype=np.int64)
    for video in range(num_videos):
        present = np.flatnonzero(sizes[video, 1:])  # objects with pixels
        rows, slots = linear_sum_assignment(overlaps[video, present], maximize=True)
        assignment[video, present[rows]] = slots
    return assignment


TRACKING_METRICS = (
    "centre_error",
    "centre_error_after_contact",
    "centre_error_without_contact",
)
CONTACT_METRICS = TRACKING_METRICS[1:]
"""Those that need to know of contacts."""


def centre_errors(distances: np.ndarray, touched: np.ndarray | None) -> dict[str, np.ndarray]:
    """Mean distance between the objects' centres and those of their slots, per frame.

    Args:
        distances: Of each object (see `centre_distances`), shape (V, T, K).
        touched: Which objects had a contact by then (`touched_by`), shape (V, T, K); None: unknown.

    Returns:
        By metric of `TRACKING_METRICS` the mean over its objects in pixels, shape (V, T), NaN where
        there is none; without those of `CONTACT_METRICS` where `touched` is None.
    """
    chosen = _distances_by_metric(distances, touched)
    return {name: mean_of_defined(values) for name, values in chosen.items()}  # over K


def count_objects(distances: np.ndarray, touched: np.ndarray | None) -> dict[str, np.ndarray]:
    """Return how many objects of each video count in some frame, (V,), by metric as above."""
    chosen = _distances_by_metric(distances, touched)
    return {name: (~np.isnan(values)).any(axis=1).sum(axis=1) for name, values in chosen.items()}


def _distances_by_metric(
    distances: np.ndarray, touched: np.ndarray | None
) -> dict[str, np.ndarray]:
    """Return the distances that each metric is about, (V, T, K), NaN elsewhere."""
    if touched is None:
        return {"centre_error": distances}
    return {
        "centre_error": distances,
        "centre_error_after_contact": np.where(touched, distances, np.nan),
        "centre_error_without_contact": np.where(touched, np.nan, distances),
    }


def touched_by(contacts: np.ndarray) -> np.ndarray:
    """Say which objects had a contact by each frame, that frame included.

    Args:
        contacts: Contacts of each object since the frame before, shape (V, T, K), in the predicted
            frames: those of the first one happened after the last context frame.

    Returns:
        Whether there was one, shape (V, T, K).
    """
    return np.logical_or.accumulate(contacts > 0, axis=1)


def centre_distances(
    true_labels: np.ndarray, masks: np.ndarray, assignment: np.ndarray
) -> np.ndarray:
    """Distance between each object's centre and that of its slot.

    The object's centre is the centroid of its true mask, the slot's that of its hard segment (the
    pixels where its mask is the largest); where the slot wins no pixel, that of its soft mask, and
    where that is 0 everywhere, the middle of the frame. An object counts in a frame if it has true
    pixels there and had some in the frame of the assignment.

    Args:
        true_labels: True labels, integers, shape (V, T, H, W).
        masks: Predicted soft masks, shape (V, T, N, H, W).
        assignment: Slot of each object, from `assign_slots`, shape (V, K).

    Returns:
        Euclidean distance in pixels, float64, shape (V, T, K); NaN where the object does not count.

    Raises:
        ValueError: If the shapes do not match, a true label is above K, or a slot above N - 1.
    """
    _check(true_labels, masks, assignment)
    num_objects = assignment.shape[1]
    object_centres, object_sizes = _segment_centres(true_labels, num_objects + 1)  # (V, T, K + 1)
    slot_centres = _slot_centres(masks)  # (V, T, N, 2)
    # objects without a slot borrow slot 0 here, and do not count below
    chosen = np.maximum(assignment, 0)[:, None, :, None]  # (V, 1, K, 1)
    matched = np.take_along_axis(slot_centres, chosen, axis=2)  # (V, T, K, 2)
    distances = np.linalg.norm(object_centres[:, :, 1:] - matched, axis=-1)  # (V, T, K)
    counted = (object_sizes[:, :, 1:] > 0) & (assignment != UNASSIGNED)[:, None]  # (V, T, K)
    return np.where(counted, distances, np.nan)


def constant_velocity_distances(
    true_labels: np.ndarray, assignment: np.ndarray, num_context: int
) -> np.ndarray:
    """Distance of each object's centre from where its own velocity would have taken it.

    A baseline that needs no slots: each centroid goes on by what it moved, in truth, between the
    last two context frames; that of an object that has pixels in only the last of them rests.

    Args:
        true_labels: True labels of context and prediction, integers, shape (V, T, H, W).
        assignment: Slot of each object, from `assign_slots`, shape (V, K): objects without one do
            not count here either, so that the figure is about the same objects as the others.
        num_context: Frames of the context, at least 2.

    Returns:
        Euclidean distance in pixels in the predicted frames, float64, shape (V, T - num_context,
        K); NaN where the object does not count (see `centre_distances`).

    Raises:
        ValueError: If num_context is below 2.
    """
    if num_context < 2:
        raise ValueError(f"num_context is {num_context}; a velocity needs 2 frames or more")
    centres, sizes = _segment_centres(true_labels, assignment.shape[1] + 1)
    centres, present = centres[:, :, 1:], sizes[:, :, 1:] > 0  # (V, T, K, 2), (V, T, K)
    before, last = centres[:, num_context - 2], centres[:, num_context - 1]  # (V, K, 2) each
    velocity = np.where(present[:, num_context - 2, :, None], last - before, 0)  # (V, K, 2)
    steps = np.arange(1, true_labels.shape[1] - num_context + 1)[:, None, None]  # (T', 1, 1)
    expected = last[:, None] + steps * velocity[:, None]  # (V, T', K, 2)
    distances = np.linalg.norm(centres[:, num_context:] - expected, axis=-1)  # (V, T', K)
    counted = present[:, num_context:] & (assignment != UNASSIGNED)[:, None]
    return np.where(counted, distances, np.nan)


def object_motion(true_labels: np.ndarray, num_objects: int) -> np.ndarray:
    """How far some object gets from where it was in the first of the given frames.

    Args:
        true_labels: True labels, integers, shape (V, T, H, W).
        num_objects: The most objects K that a video holds.

    Returns:
        Largest distance of an object's centroid from its first one, over objects that have pixels
        in the first frame and frames in which they have some, in pixels, shape (V,); 0 where no
        object counts.

    Raises:
        ValueError: If num_objects is below the largest true label.
    """
    _check_num_objects(true_labels, num_objects)
    centres, sizes = _segment_centres(true_labels, num_objects + 1)  # background first
    distances = np.linalg.norm(centres - centres[:, :1], axis=-1)[..., 1:]  # (V, T, K)
    visible = (sizes > 0) & (sizes[:, :1] > 0)  # (V, T, K + 1)
    return np.where(visible[..., 1:], distances, 0.0).max(axis=(1, 2), initial=0.0)


def object_centres(true_labels: np.ndarray, num_objects: int) -> np.ndarray:
    """Centroids of the objects' true masks.

    Args:
        true_labels: True labels, integers, shape (V, T, H, W).
        num_objects: Number K of objects to report, at least the largest true label.

    Returns:
        Row and column in pixels, shape (V, T, K, 2); NaN where an object has no pixel.

    Raises:
        ValueError: If num_objects is below the largest true label.
    """
    _check_num_objects(true_labels, num_objects)
    centres, sizes = _segment_centres(true_labels, num_objects + 1)  # background first
    return np.where(sizes[..., None] > 0, centres, np.nan)[:, :, 1:]


def _check_num_objects(true_labels: np.ndarray, num_objects: int) -> None:
    largest = int(true_labels.max(initial=0))
    if num_objects < largest:
        raise ValueError(f"num_objects is {num_objects}, but true labels go up to {largest}")


def _check(true_labels: np.ndarray, masks: np.ndarray, assignment: np.ndarray) -> None:
    if (
        masks.ndim != 5
        or true_labels.shape != masks.shape[:2] + masks.shape[3:]
        or assignment.ndim != 2
        or len(assignment) != len(masks)
    ):
        raise ValueError(
            "true labels, masks and assignment must have shapes (V, T, H, W), (V, T, N, H, W) and "
            f"(V, K), got {true_labels.shape}, {masks.shape} and {assignment.shape}"
        )
    largest = int(true_labels.max(initial=0))
    if largest > assignment.shape[1]:
        raise ValueError(
            f"true labels go up to {largest}, but the assignment has {assignment.shape[1]} objects"
        )
    if assignment.max(initial=UNASSIGNED) >= masks.shape[2]:
        raise ValueError(
            f"the assignment names slot {assignment.max()}, but there are {masks.shape[2]} slots"
        )


def _slot_centres(masks: np.ndarray) -> np.ndarray:
    """Return the centres (row, column) of all slots, shape (V, T, N, 2)."""
    num_slots, height, width = masks.shape[2:]
    centres, sizes = _segment_centres(labels_from_masks(masks), num_slots)  # (V, T, N, 2)
    hidden = sizes == 0  # (V, T, N)
    if hidden.any():
        soft = masks[hidden].astype(np.float64)  # (hidden slots, H, W)
        weights = soft.sum(axis=(1, 2))  # (hidden slots,)
        rows = soft.sum(axis=2) @ np.arange(height)
        columns = soft.sum(axis=1) @ np.arange(width)
        middle = [(height - 1) / 2, (width - 1) / 2]
        moments = np.stack([rows, columns], axis=-1)  # (hidden slots, 2)
        known = (weights > 0)[:, None]
        centres[hidden] = np.where(known, moments / np.where(known, weights[:, None], 1), middle)
    return centres


def _segment_centres(labels: np.ndarray, num_labels: int) -> tuple[np.ndarray, np.ndarray]:
    """Return centroids (V, T, num_labels, 2), 0 where empty, and sizes (V, T, num_labels)."""
    num_videos, num_frames, height, width = labels.shape
    num_sets = num_videos * num_frames
    # As for contingency tables: one number for each label of each frame, counted all at once.
    cells = labels.reshape(num_sets, -1) + np.arange(num_sets)[:, None] * num_labels
    row, column = np.divmod(np.arange(height * width), width)  # (H * W,) each

    def totals(values: np.ndarray | None) -> np.ndarray:
        weights = None if values is None else np.tile(values, num_sets)
        sums = np.bincount(cells.ravel(), weights, minlength=num_sets * num_labels)
        return sums.reshape(num_videos, num_frames, num_labels)

    sizes = totals(None)  # (V, T, num_labels)
    centres = np.stack([totals(row), totals(column)], axis=-1)  # sums, (V, T, num_labels, 2)
    return centres / np.maximum(sizes, 1)[..., None], sizes

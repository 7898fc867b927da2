"""Scores that compare the slots' masks with the true masks of objects.

V videos, T frames, N slots, K objects, H, W pixels. True labels are 0 for the background and k + 1
for object k, as in the video files; predicted labels are slot indices from 0, the slot of the
background among them.
"""

import numpy as np
from scipy.optimize import linear_sum_assignment


def labels_from_masks(masks: np.ndarray) -> np.ndarray:
    """Return the slot that has the largest mask in each pixel, the lowest one where they tie.

    Args:
        masks: Soft masks, shape (..., N, H, W), N at most 256.

    Returns:
        Slot indices, uint8, shape (..., H, W).

    Raises:
        ValueError: If there are fewer than three dimensions, or N is above 256.
    """
    if masks.ndim < 3 or not 1 <= masks.shape[-3] <= 256:
        raise ValueError(
            f"masks must have shape (..., N, H, W) with N from 1 to 256, got {masks.shape}"
        )
    return np.argmax(masks, axis=-3).astype(np.uint8)


def fg_ari_clip(true_labels: np.ndarray, predicted_labels: np.ndarray) -> np.ndarray:
    """Foreground ARI of whole clips: all T*H*W pixels at once (SAVi's own figure).

    A slot that swaps its object for another half way is punished. Takes labels (..., T, H, W) and
    returns shape (...); see `adjusted_rand_index`.
    """
    return adjusted_rand_index(true_labels, predicted_labels, num_dimensions=3)


def fg_ari_frame(true_labels: np.ndarray, predicted_labels: np.ndarray) -> np.ndarray:
    """Foreground ARI of each frame by itself (the figure of SlotFormer and OCVP).

    Takes labels (..., H, W) and returns shape (...); see `adjusted_rand_index`.
    """
    return adjusted_rand_index(true_labels, predicted_labels, num_dimensions=2)


def ari(true_labels: np.ndarray, predicted_labels: np.ndarray) -> np.ndarray:
    """ARI of each frame by itself, the background counted as one more object.

    Takes labels (..., H, W) and returns shape (...); see `adjusted_rand_index`.
    """
    return adjusted_rand_index(
        true_labels, predicted_labels, num_dimensions=2, foreground_only=False
    )


def adjusted_rand_index(
    true_labels: np.ndarray,
    predicted_labels: np.ndarray,
    *,
    num_dimensions: int,
    foreground_only: bool = True,
) -> np.ndarray:
    """Adjusted Rand index (Hubert and Arabie, 1985) over the last `num_dimensions` dimensions.

    Args:
        true_labels: True labels, integers from 0.
        predicted_labels: Predicted labels, integers from 0, the same shape.
        num_dimensions: How many trailing dimensions make up one set of pixels: 2 or 3.
        foreground_only: Drop the pixels whose true label is 0.

    Returns:
        ARI, one for each set of pixels, float64. 1.0 in the degenerate cases, where chance alone
        would be right: fewer than two pixels (no foreground in the frame), or one cluster on
        both sides, or nothing but clusters of one pixel on both sides.

    Raises:
        ValueError: If the shapes differ or a label is not an integer from 0.
    """
    table = _contingency(true_labels, predicted_labels, num_dimensions)  # (..., K + 1, N)
    if foreground_only:
        table = table[..., 1:, :]
    same_both = _pairs(table).sum(axis=(-2, -1))  # (...): pairs that both put together
    same_true = _pairs(table.sum(axis=-1)).sum(axis=-1)  # that the truth puts together
    same_predicted = _pairs(table.sum(axis=-2)).sum(axis=-1)  # that the prediction puts together
    pairs = _pairs(table.sum(axis=(-2, -1)))  # all there are
    # Exact in integers: the denominator below is 0 only where both sides are one cluster, or
    # both are single pixels.
    degenerate = (same_true == same_predicted) & ((same_true == pairs) | (same_true == 0))
    # divided first: the product of two numbers of pairs may not fit 64 bits
    expected = same_true * (same_predicted / np.maximum(pairs, 1))  # same_both by chance
    largest = (same_true + same_predicted) / 2  # same_both where both sides agree
    denominator = np.where(degenerate, 1.0, largest - expected)
    return np.where(degenerate, 1.0, (same_both - expected) / denominator)


def miou(true_labels: np.ndarray, predicted_labels: np.ndarray) -> np.ndarray:
    """Mean IoU of each frame after Hungarian matching of segments to the objects present.

    Foreground objects only; every segment, the background's too, may be matched, each to one
    object. An object without a segment (more objects than segments) counts 0.

    Args:
        true_labels: True labels, integers, shape (..., H, W).
        predicted_labels: Predicted labels, integers, the same shape.

    Returns:
        Mean over the objects present, shape (...), in [0, 1]; NaN where no object is present.

    Raises:
        ValueError: If the shapes differ or a label is not an integer from 0.
    """
    overlaps, present = _object_ious(true_labels, predicted_labels)
    totals = np.zeros(present.shape[:-1])  # (...)
    for index in np.ndindex(totals.shape):
        candidates = overlaps[index][present[index]]  # (objects present, N)
        totals[index] = candidates[linear_sum_assignment(candidates, maximize=True)].sum()
    return _mean_over_present(totals, present)


def mbo(true_labels: np.ndarray, predicted_labels: np.ndarray) -> np.ndarray:
    """Mean best overlap of each frame: each object takes the segment that fits it best.

    Unlike `miou`, one segment may serve several objects.

    Args:
        true_labels: True labels, integers, shape (..., H, W).
        predicted_labels: Predicted labels, integers, the same shape.

    Returns:
        Mean over the objects present, shape (...), in [0, 1]; NaN where no object is present.

    Raises:
        ValueError: If the shapes differ or a label is not an integer from 0.
    """
    overlaps, present = _object_ious(true_labels, predicted_labels)
    best = np.where(present, overlaps.max(axis=-1, initial=0.0), np.nan)  # (..., K)
    return mean_of_defined(best)


def tracks_kept(true_labels: np.ndarray, predicted_labels: np.ndarray) -> np.ndarray:
    """Share of the objects of a clip that one segment holds throughout.

    That is: it holds the object in at least half of the frames in which the object has pixels, and
    no other segment holds it in any frame (see `holding_segments`).

    Args:
        true_labels: True labels, integers, shape (..., T, H, W).
        predicted_labels: Predicted labels, integers, the same shape.

    Returns:
        Share of the objects with pixels in some frame, shape (...), in [0, 1]; NaN where there is
        none.

    Raises:
        ValueError: If the shapes differ or a label is not an integer from 0.
    """
    held, present = holding_segments(true_labels, predicted_labels)  # (..., T, K) each
    is_held = held != NOT_HELD
    highest = held.max(axis=-2, initial=NOT_HELD)  # (..., K)
    # where none holds an object, the lowest is above the highest
    lowest = np.where(is_held, held, predicted_labels.max(initial=0) + 1).min(axis=-2)
    num_frames = present.sum(axis=-2)  # (..., K)
    kept = (lowest == highest) & (2 * is_held.sum(axis=-2) >= num_frames)
    return _mean_over_present(kept.sum(axis=-1), num_frames > 0)


def id_switches(true_labels: np.ndarray, predicted_labels: np.ndarray) -> np.ndarray:
    """How often in a clip an object goes over from one segment to another.

    The mismatches of CLEAR MOT (Bernardin and Stiefelhagen, 2008): frames in which another segment
    holds an object (see `holding_segments`) than in the last frame in which one did. Two objects
    that swap their segments count twice; an object that no segment holds counts nothing, so read it
    beside `tracks_kept`.

    Args:
        true_labels: True labels, integers, shape (..., T, H, W).
        predicted_labels: Predicted labels, integers, the same shape.

    Returns:
        Number over all objects, shape (...); NaN where no object has pixels in any frame.

    Raises:
        ValueError: If the shapes differ or a label is not an integer from 0.
    """
    held, present = holding_segments(true_labels, predicted_labels)  # (..., T, K) each
    frames = np.moveaxis(held, -2, 0)  # (T, ..., K)
    last = np.full_like(frames[0], NOT_HELD)  # (..., K)
    switches = np.zeros(last.shape[:-1])  # (...)
    for now in frames:
        switches += ((now != last) & (now != NOT_HELD) & (last != NOT_HELD)).sum(axis=-1)
        last = np.where(now == NOT_HELD, last, now)
    return np.where(present.any(axis=(-2, -1)), switches, np.nan)


LABEL_METRICS = {
    "fg_ari_clip": fg_ari_clip,
    "fg_ari_frame": fg_ari_frame,
    "ari": ari,
    "miou": miou,
    "mbo": mbo,
    "tracks_kept": tracks_kept,
    "id_switches": id_switches,
}
"""Metric to its function of true labels and predicted ones."""


NOT_HELD = -1
HOLDING_IOU = 0.5
"""A segment holds an object where their IoU is above this: then no other segment can, and it holds
no other object, so that nothing need be assigned."""


def holding_segments(
    true_labels: np.ndarray, predicted_labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Say which segment holds each object, frame by frame.

    Args:
        true_labels: True labels, integers, shape (..., H, W).
        predicted_labels: Predicted labels, integers, the same shape.

    Returns:
        The segment whose IoU with the object is above `HOLDING_IOU`, `NOT_HELD` where none is, and
        whether the object has pixels, both of shape (..., K).

    Raises:
        ValueError: If the shapes differ or a label is not an integer from 0.
    """
    overlaps, present = _object_ious(true_labels, predicted_labels)  # (..., K, N), (..., K)
    is_held = overlaps.max(axis=-1) > HOLDING_IOU
    return np.where(is_held, overlaps.argmax(axis=-1), NOT_HELD), present


def mean_of_defined(values: np.ndarray) -> np.ndarray:
    """Return the mean over the last dimension of what is not NaN; NaN where nothing is."""
    return _mean_over_present(np.nansum(values, axis=-1), ~np.isnan(values))


def intersection_over_union(
    true_labels: np.ndarray, predicted_labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """IoU of every true label with every segment, and the size of every true label, per frame.

    Args:
        true_labels: True labels, integers, shape (..., H, W).
        predicted_labels: Predicted labels, integers, the same shape.

    Returns:
        IoU, shape (..., largest true label + 1, largest predicted label + 1), 0 where both are
        empty; sizes in pixels, shape (..., largest true label + 1).

    Raises:
        ValueError: If the shapes differ or a label is not an integer from 0.
    """
    table = _contingency(true_labels, predicted_labels, 2)  # (..., K + 1, N)
    true_sizes = table.sum(axis=-1)  # (..., K + 1)
    union = true_sizes[..., None] + table.sum(axis=-2)[..., None, :] - table  # (..., K + 1, N)
    return table / np.maximum(union, 1), true_sizes


def _object_ious(
    true_labels: np.ndarray, predicted_labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return IoU (..., K, N) and presence (..., K) of the foreground objects."""
    overlaps, sizes = intersection_over_union(true_labels, predicted_labels)
    return overlaps[..., 1:, :], sizes[..., 1:] > 0


def _mean_over_present(totals: np.ndarray, present: np.ndarray) -> np.ndarray:
    counts = present.sum(axis=-1)
    return np.where(counts > 0, totals / np.maximum(counts, 1), np.nan)


def _pairs(counts: np.ndarray) -> np.ndarray:
    return counts * (counts - 1) // 2  # exact, in int64


def _contingency(
    true_labels: np.ndarray, predicted_labels: np.ndarray, num_dimensions: int
) -> np.ndarray:
    """Count pixels by true and predicted label over the last `num_dimensions` dimensions.

    Returns:
        Counts, int64, shape (..., largest true label + 1, largest predicted label + 1).
    """
    if true_labels.shape != predicted_labels.shape or true_labels.ndim < num_dimensions:
        raise ValueError(
            f"true labels have shape {true_labels.shape}, predicted labels "
            f"{predicted_labels.shape}; they must be the same, of {num_dimensions} or more "
            "dimensions"
        )
    for name, labels in (("true", true_labels), ("predicted", predicted_labels)):
        if labels.dtype.kind not in "iu":
            raise ValueError(f"{name} labels are {labels.dtype}, allowed are integers")
        if labels.dtype.kind == "i" and labels.size and labels.min() < 0:
            raise ValueError(f"{name} labels hold {labels.min()}, allowed is 0 and above")
    leading = true_labels.shape[: true_labels.ndim - num_dimensions]
    num_sets = int(np.prod(leading))
    num_true = int(true_labels.max(initial=0)) + 1
    num_predicted = int(predicted_labels.max(initial=0)) + 1
    # Each pixel gets the number of its cell in all tables together: one bincount counts them all.
    cells = true_labels.reshape(num_sets, -1).astype(np.int64)  # (sets, pixels)
    cells *= num_predicted
    cells += predicted_labels.reshape(num_sets, -1)
    cells += np.arange(num_sets)[:, None] * (num_true * num_predicted)
    counts = np.bincount(cells.ravel(), minlength=num_sets * num_true * num_predicted)
    return counts.reshape(*leading, num_true, num_predicted)  # (..., K + 1, N)

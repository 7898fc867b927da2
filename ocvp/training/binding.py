"""Signs that slots took hold of no object, read from masks alone.

B videos, T frames, N slots, H W pixels.
"""

import numpy as np

from ocvp.evaluation.segmentation_metrics import adjusted_rand_index

PAGE = "docs/slots_that_do_not_bind.md"
SAME_PLACES = 0.5
"""Likeness of two videos' partitions from which on they count as one and the same."""
ALIKE = 0.1
"""How far the largest mask of a pixel stands out, on average, where slots do not differ."""
ALL = 0.995
"""Share of the pixels from which on one slot holds everything."""


def doubts_about(masks: np.ndarray) -> str:
    """Return what speaks against slots having found objects; empty: nothing.

    Args:
        masks: Soft masks of several videos whose first slots started alike, shape (B, T, N, H, W).
    """
    num_slots = masks.shape[2]
    if num_slots == 1:
        return ""
    labels = masks.argmax(axis=2)  # (B, T, H, W)
    held = np.bincount(labels.ravel(), minlength=num_slots) / labels.size  # (N,)
    if standing_out(masks) < ALIKE:
        what = "no slot differs from the others: each has about the same share of every pixel"
    elif held.max() > ALL:
        what = f"one slot holds {held.max():.1%} of all pixels"
    elif (likeness := likeness_of_places(labels)) > SAME_PLACES:
        what = (
            "the masks divide the picture by place: those of one video fit the others too (ARI "
            f"{likeness:.2f})"
        )
    else:
        return ""
    return f"{what}. Slots that find no objects by now seldom do later; see {PAGE}"


def standing_out(masks: np.ndarray) -> float:
    """Return how far the largest mask of a pixel is above an equal share: 0 not at all, 1 wholly.

    Args:
        masks: Soft masks, shape (B, T, N, H, W), N at least 2.
    """
    equal = 1 / masks.shape[2]
    return float((masks.max(axis=2).mean() - equal) / (1 - equal))


def likeness_of_places(labels: np.ndarray) -> float:
    """Return how alike the partitions of different videos are: their mean ARI, frame by frame.

    Objects are elsewhere in every video, so partitions by object are hardly more alike than by
    chance, whose ARI is 0; those by place are alike whatever the video shows, and have up to 1.
    Which slot has which part does not count.

    Args:
        labels: Slot of each pixel, shape (B, T, H, W).

    Returns:
        0 for a single video, with which nothing can be compared.
    """
    if len(labels) == 1:  # nothing to compare with
        return 0.0
    others = np.roll(labels, 1, axis=0)  # each video is compared with the one before it
    scores = adjusted_rand_index(labels, others, num_dimensions=2, foreground_only=False)
    return float(scores.mean())

"""Signs that slots took hold of no object, read from masks alone.

B videos, T frames, N slots, H W pixels.
"""

import numpy as np

PAGE = "docs/slots_that_do_not_bind.md"
PLACED = 0.4
"""Likeness of the masks of different videos from which on they stand for places. Models that found
objects had up to 0.30, since slots that start alike take objects of their own regions; models that
divided the background alone, 0.27 and more, so that not all of these are told."""
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
    elif (likeness := likeness_of_videos(masks)) > PLACED:
        what = (
            f"the masks divide the picture by place: {likeness:.0%} of them is the same in all "
            "videos, whatever they show"
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


def likeness_of_videos(masks: np.ndarray) -> float:
    """Return how much of each slot's mask is the same in other videos: their correlation.

    Objects are elsewhere in every video, so that of slots with objects it is small; that of slots
    with places is near 1. The slot that holds most does not count: it is the background's, which
    is alike in all videos.

    Args:
        masks: Soft masks of videos whose slots started alike, shape (B, T, N, H, W).

    Returns:
        Covariance over the picture with another video's mask, over the variance; 0 for a single
        video, with which nothing can be compared.
    """
    if len(masks) == 1:
        return 0.0
    shares = masks.mean(axis=(-2, -1), keepdims=True)  # (B, T, N, 1, 1)
    deviations = masks - shares
    others = np.roll(deviations, 1, axis=0)  # each video beside the one before it
    common = (deviations * others).mean(axis=(0, 1, 3, 4))  # (N,)
    own = (deviations**2).mean(axis=(0, 1, 3, 4))  # (N,)
    counted = np.arange(masks.shape[2]) != shares.mean(axis=(0, 1)).argmax()
    return float(common[counted].sum() / max(own[counted].sum(), np.finfo(np.float32).tiny))

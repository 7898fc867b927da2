"""Segmentations that know nothing of objects, to stand beside a model's scores.

T frames, H, W pixels, K objects.
"""

import numpy as np
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits


def kmeans_colour(frames: np.ndarray, num_segments: int, seed: int) -> np.ndarray:
    """Group the pixels of a whole clip by colour alone.

    scikit-learn's KMeans on RGB in [0, 1]: k-means++ with 3 starts, at most 100 iterations of
    Lloyd's algorithm. Each distinct colour enters once, weighted by how often it occurs, which is
    the same problem as all pixels. One thread, so that the sums and with them the labels do not
    depend on the machine's cores.

    Args:
        frames: One clip, uint8, shape (T, H, W, 3).
        num_segments: Segments to make, 1 to 256; fewer come out where the clip has fewer colours.
        seed: Seed of the starts.

    Returns:
        Segment of each pixel, uint8, shape (T, H, W), numbered by falling size from 0.

    Raises:
        ValueError: If the frames have another shape or type, or num_segments is out of range.
    """
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8:
        raise ValueError(
            f"frames must be uint8 of shape (T, H, W, 3), got {frames.dtype} of {frames.shape}"
        )
    if not 1 <= num_segments <= 256:
        raise ValueError(f"num_segments is {num_segments}, allowed is 1 to 256")
    # One integer per colour: sorting those is many times faster than sorting rows of three.
    packed = frames.astype(np.int64) @ np.array([1 << 16, 1 << 8, 1])  # (T, H, W)
    distinct, colour_of_pixel, counts = np.unique(
        packed.ravel(), return_inverse=True, return_counts=True
    )
    colours = np.stack([distinct >> 16, distinct >> 8 & 255, distinct & 255], axis=1) / 255.0
    num_clusters = min(num_segments, len(distinct))  # KMeans takes no more than it has points
    with threadpool_limits(limits=1):
        model = KMeans(num_clusters, n_init=3, max_iter=100, random_state=seed)
        cluster_of_colour = model.fit_predict(colours, sample_weight=counts.astype(np.float64))
    sizes = np.bincount(cluster_of_colour, weights=counts, minlength=num_clusters)  # in pixels
    label_of_cluster = np.empty(num_clusters, dtype=np.uint8)
    # stable, so that segments of one size always come in the same order
    label_of_cluster[np.argsort(-sizes, kind="stable")] = np.arange(num_clusters)
    return label_of_cluster[cluster_of_colour][colour_of_pixel].reshape(frames.shape[:3])


def held_boxes(boxes: np.ndarray, num_frames: int, height: int, width: int) -> np.ndarray:
    """Draw the boxes of the first frame, filled and unmoved, into every frame.

    What a model that is given the first boxes scores by doing nothing with the video.

    Args:
        boxes: Boxes of the first frame, shape (K, 4), as (y_min, x_min, y_max, x_max) fractions
            of the frame in [0, 1], all -1 where the object is absent; K at most 255.
        num_frames: Frames T to fill, at least 1.
        height: Frame height H in pixels.
        width: Frame width W in pixels.

    Returns:
        Labels, uint8, shape (T, H, W): 0 outside all boxes, k + 1 inside box k; where boxes
        overlap the smaller one is on top. A box that is present covers at least one pixel.

    Raises:
        ValueError: If the boxes have another shape, or a coordinate is out of range.
    """
    boxes = np.asarray(boxes, dtype=np.float64)
    if boxes.ndim != 2 or boxes.shape[1] != 4 or len(boxes) > 255:
        raise ValueError(f"boxes must have shape (K, 4) with K at most 255, got {boxes.shape}")
    present = ~(boxes == -1).all(axis=1)  # (K,)
    y_min, x_min, y_max, x_max = boxes.T  # (K,) each
    inside = ((boxes >= 0) & (boxes <= 1)).all(axis=1)
    valid = inside & (y_min <= y_max) & (x_min <= x_max)
    for k in np.flatnonzero(present & ~valid):  # the first one raises
        raise ValueError(
            f"box {k} is {boxes[k].tolist()}, allowed are (y_min, x_min, y_max, x_max) in [0, 1] "
            "with minima first, or -1 four times"
        )
    frame = np.zeros((height, width), dtype=np.uint8)
    areas = (y_max - y_min) * (x_max - x_min)
    for k in np.argsort(-areas, kind="stable"):  # large ones first, so that small ones stay on top
        if present[k]:
            rows = _pixel_range(y_min[k], y_max[k], height)
            columns = _pixel_range(x_min[k], x_max[k], width)
            frame[rows, columns] = k + 1
    return np.repeat(frame[None], num_frames, axis=0)  # (T, H, W)


def _pixel_range(low: float, high: float, size: int) -> slice:
    """Return the pixels between two edges given as fractions, at least one of them."""
    first = min(round(low * size), size - 1)
    return slice(first, max(round(high * size), first + 1))

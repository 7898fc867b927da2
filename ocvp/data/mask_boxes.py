"""Boxes of objects from their masks.

T frames, H W pixels, K objects.
"""

import numpy as np
from numpy.typing import NDArray


def mask_boxes(masks: NDArray[np.uint8], num_objects: int) -> NDArray[np.float32]:
    """Return the edges of each object's mask.

    Args:
        masks: Shape (T, H, W), object k as k + 1.
        num_objects: K.

    Returns:
        Shape (T, K, 4): (y_min, x_min, y_max, x_max) of the outer pixel edges, as fractions of
        the frame; -1 where an object has no pixel.
    """
    num_frames, height, width = masks.shape
    boxes = np.full((num_frames, num_objects, 4), -1, np.float32)
    for k in range(num_objects):
        shown = masks == k + 1  # (T, H, W)
        rows, columns = shown.any(axis=2), shown.any(axis=1)  # (T, H), (T, W)
        present = rows.any(axis=1)  # (T,)
        edges = [
            rows.argmax(axis=1) / height,
            columns.argmax(axis=1) / width,
            # the last row and column, counted from the other end
            1 - rows[:, ::-1].argmax(axis=1) / height,
            1 - columns[:, ::-1].argmax(axis=1) / width,
        ]
        boxes[present, k] = np.stack(edges, axis=-1)[present]  # of (T, 4)
    return boxes

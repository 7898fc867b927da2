"""What a SAVi is given of a clip of one's own: its frames, and the boxes of the first one.

T frames, H W pixels, K objects.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ocvp.batches.savi_inputs import CONDITIONAL
from ocvp.data.clips import Clip, crop_boxes, read_boxes
from ocvp.models.savi import SAVi


def first_boxes(savi: SAVi, path: Path | None) -> np.ndarray | None:
    """Read the boxes that a SAVi starts from, float32 (K, 4); None where it starts from none.

    Args:
        savi: The model.
        path: The file of the first frame's boxes (`read_boxes`).

    Raises:
        ValueError: If boxes are missing, unreadable, or more than slots.
    """
    if savi.initializer_kind not in CONDITIONAL:
        return None
    if path is None:
        raise ValueError(
            f"--boxes is missing: this SAVi starts from {savi.initializer_kind} of the objects "
            "(initializer). Write a file boxes.csv with a line y_min,x_min,y_max,x_max for each "
            "object in the first frame, as fractions of the frame (0.10,0.25,0.40,0.55), and give "
            "--boxes boxes.csv; or train a SAVi that needs none (initializer: learned_random)"
        )
    boxes = read_boxes(path)
    if len(boxes) > savi.num_slots:
        raise ValueError(
            f"{path} holds {len(boxes)} boxes, but this SAVi has {savi.num_slots} slots"
        )
    return boxes


def own_batch(clip: Clip, boxes: np.ndarray | None) -> dict[str, Tensor]:
    """Return the batch of one clip, as `savi_inputs` takes it.

    Args:
        clip: The frames, T of them, in the model's resolution.
        boxes: What `first_boxes` returned.

    Returns:
        `frames`, uint8 (1, T, H, W, 3), and where there are boxes `boxes`, float32 (1, 1, K, 4).
    """
    batch = {"frames": torch.from_numpy(clip.frames)[None]}
    if boxes is not None:
        batch["boxes"] = torch.from_numpy(crop_boxes(boxes, clip.crop))[None, None]
    return batch

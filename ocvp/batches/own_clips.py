"""What a SAVi is given of a clip of one's own: its frames, and the boxes of the first one.

T frames, H W pixels, K objects.
"""

from pathlib import Path

import torch
from torch import Tensor

from ocvp.batches.savi_inputs import CONDITIONAL
from ocvp.data.clips import Clip, crop_boxes, read_boxes
from ocvp.models.savi import SAVi


def own_batch(savi: SAVi, clip: Clip, boxes: Path | None) -> dict[str, Tensor]:
    """Return the batch of one clip, as `savi_inputs` takes it.

    Args:
        savi: The model.
        clip: The frames, T of them, in its resolution.
        boxes: The file of the first frame's boxes (`read_boxes`), for a SAVi that starts from them.

    Returns:
        `frames`, uint8 (1, T, H, W, 3), and `boxes`, float32 (1, 1, K, 4), where the SAVi wants
        them.

    Raises:
        ValueError: If boxes are missing, unreadable, or more than slots.
    """
    batch = {"frames": torch.from_numpy(clip.frames)[None]}
    if savi.initializer_kind not in CONDITIONAL:
        return batch
    if boxes is None:
        raise ValueError(
            f"--boxes is missing: this SAVi starts from {savi.initializer_kind} of the objects "
            "(initializer), so it needs a CSV or JSON file with a row y_min, x_min, y_max, x_max "
            "for each object in the first frame, as fractions of the frame"
        )
    found = read_boxes(boxes)
    if len(found) > savi.num_slots:
        raise ValueError(
            f"{boxes} holds {len(found)} boxes, but this SAVi has {savi.num_slots} slots"
        )
    return batch | {"boxes": torch.from_numpy(crop_boxes(found, clip.crop))[None, None]}

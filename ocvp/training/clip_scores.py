"""Scores of a few validation clips, for curves that are looked at while a training runs.

B videos, T frames, N slots, H W pixels.
"""

import logging
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ocvp.batches.windows import WindowReader, first_windows, to_model
from ocvp.data.videos import VideoFile
from ocvp.evaluation.image_metrics import psnr
from ocvp.evaluation.scoring import masks_of, mean, without_objects
from ocvp.evaluation.segmentation_metrics import LABEL_METRICS, labels_from_masks
from ocvp.models.savi import SAVi

logger = logging.getLogger(__name__)

NUM_VIDEOS = 8
"""Of the validation, from the first on, that are scored."""
MASK_METRICS = ("fg_ari_clip", "fg_ari_frame", "miou")


def read_masks(videos: Path, num_videos: int, length: int) -> np.ndarray | None:
    """Return the true masks of the first frames, uint8 (B, T, H, W); None where there are none.

    Args:
        videos: The file of videos; where its masks are damaged, a warning says so.
        num_videos: Videos to read.
        length: Frames to read of each.
    """
    try:
        with VideoFile(videos) as file:
            if not file.has("masks"):
                return None
        (windows,) = first_windows(num_videos, num_videos)
        _, batch = WindowReader({"masks": (videos, "masks")}, length)[windows]
    except ValueError as error:
        logger.warning("%s; no curves of FG-ARI and mIoU are drawn", error)
        return None
    return batch["masks"].numpy()


@torch.no_grad()
def score_clips(
    savi: SAVi, clips: Iterable[tuple[Tensor, Tensor]], true_labels: np.ndarray | None
) -> dict[str, float]:
    """Score what the slots of clips decode to, as the evaluations do (docs/metrics.md).

    Args:
        savi: The SAVi that decodes.
        clips: Slots (T, N, D) and true frames, uint8 (T, H, W, 3), of each.
        true_labels: True masks of all clips, (B, T, H, W), or None where there are none.

    Returns:
        Means by metric; without metrics that are defined in no clip.
    """
    of_frames, labels = [], []
    for slots, frames in clips:
        # One at a time: decoding a batch takes memory that the training may have no more.
        output = savi.decode(slots[None])  # of (1, T, N, D)
        truth = to_model(frames[None], slots.device)  # (1, T, 3, H, W)
        of_frames.append(psnr(output.reconstruction.clamp(0, 1), truth).cpu().numpy())  # (1, T)
        labels.append(labels_from_masks(masks_of(output)))  # (1, T, H, W)
    scores = {"psnr": np.concatenate(of_frames)}
    if true_labels is not None:
        for name in MASK_METRICS:
            scores[name] = LABEL_METRICS[name](true_labels, np.concatenate(labels))
            scores[name][without_objects(true_labels)] = np.nan
    means = {name: mean(values) for name, values in scores.items()}
    return {name: value for name, value in means.items() if value is not None}

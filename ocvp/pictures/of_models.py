"""The figure of a SAVi on a video of a data set.

T frames, N slots, D slot_dim, H W pixels.
"""

from pathlib import Path

import numpy as np
import torch

from ocvp.batches.savi_inputs import encode_from_start, video_sources
from ocvp.batches.windows import Window, WindowReader
from ocvp.data.videos import VideoFile
from ocvp.models.savi import SAVi
from ocvp.pictures.decoded import decoded
from ocvp.pictures.drawing import slots_panel


@torch.no_grad()
def slots_figure(
    savi: SAVi, videos: Path, *, seed: int, factor: int | None, title: str = ""
) -> np.ndarray:
    """Draw what each slot of a SAVi holds over the first video of a file.

    Args:
        savi: The model.
        videos: Videos (HDF5).
        seed: Seed of the slots' noise.
        factor: Enlargement of the frames; None: as fits a screen.
        title: Line above the picture; empty: none.

    Returns:
        Picture, uint8, shape (height, width, 3).
    """
    with VideoFile(videos) as file:
        num_frames = file.num_frames
    reader = WindowReader(video_sources(savi, videos), num_frames, residency="disk")
    windows, batch = reader[[Window(0, 0)]]
    slots = encode_from_start(savi, windows, batch, seed=seed, purpose="score")
    found = decoded(savi.decode(slots[0]))  # of (T, N, D)
    frames = batch["frames"][0].numpy()  # (T, H, W, 3)
    return slots_panel(frames, found.objects, found.masks, factor=factor, title=title)

"""What slots decode to, as arrays that pictures are drawn from.

T frames, N slots, D slot_dim, H W pixels.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ocvp.batches.windows import to_pixels
from ocvp.models.savi import SAVi, SaviOutput
from ocvp.runtime.progress import progress

DECODED_AT_ONCE = 16  # frames


class Decoded(NamedTuple):
    """What the slots of one video look like."""

    frames: np.ndarray
    """uint8, shape (T, H, W, 3)."""
    objects: np.ndarray
    """Each slot's picture before masking, in [0, 1], float32, shape (T, N, H, W, 3)."""
    masks: np.ndarray
    """Float32, shape (T, N, H, W)."""

    @property
    def labels(self) -> np.ndarray:
        """The slot with the largest mask in each pixel, uint8, shape (T, H, W)."""
        return self.masks.argmax(axis=1).astype(np.uint8)


def decoded(output: SaviOutput) -> Decoded:
    """Turn the tensors of one video, without a batch's dimension, into arrays."""
    return Decoded(
        to_pixels(output.reconstruction),  # (T, 3, H, W) to (T, H, W, 3)
        output.objects.movedim(-3, -1).clamp(0, 1).cpu().numpy(),  # the same, for each slot
        output.masks.squeeze(-3).cpu().numpy(),  # (T, N, 1, H, W) to (T, N, H, W)
    )


@torch.no_grad()
def decode(savi: SAVi, slots: Tensor, description: str) -> Decoded:
    """Decode the slots of one video, some frames at a time.

    Args:
        savi: The model.
        slots: Shape (T, N, D).
        description: What the progress bar says.
    """
    parts: list[Decoded] = []
    with progress(description=description, unit="frame", total=len(slots)) as bar:
        for chunk in slots.split(DECODED_AT_ONCE):
            parts.append(decoded(savi.decode(chunk)))
            bar.update(len(chunk))
    return Decoded(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))

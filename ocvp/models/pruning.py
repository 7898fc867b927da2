"""Slots that a frame can do without.

B batch, N slots, H W pixels.
"""

import torch
from torch import Tensor

SETTLING_FRAMES = 8
"""How often the first frame is shown again before this is asked: until then slots share objects."""
TINY = torch.finfo(torch.float32).tiny


def slots_to_spare(frames: Tensor, objects: Tensor, masks: Tensor, threshold: float) -> Tensor:
    """Tell which slots could be left out with hardly a loss.

    One slot after the other: of two that make the same object, only one is left out.

    Args:
        frames: What the slots should make, shape (B, 3, H, W).
        objects: Each slot's image before masking, shape (B, N, 3, H, W).
        masks: Each slot's share of each pixel, shape (B, N, 1, H, W).
        threshold: Share by which the mean squared error of a frame has to rise without a slot,
            above 0, for the slot to stay.

    Returns:
        Whether a slot is to spare, bool, shape (B, N); at least one of each frame is not.
    """
    num_slots = masks.shape[1]
    numbers = torch.arange(num_slots, device=masks.device)
    spare = torch.zeros(masks.shape[:2], dtype=torch.bool, device=masks.device)
    parts = torch.cat([masks * objects, masks], dim=2)  # (B, N, 4, H, W)
    for _ in range(num_slots - 1):
        parts = parts.masked_fill(spare[:, :, None, None, None], 0)
        # Summed up, not subtracted from the whole: of slots with next to no mask little is known.
        without = torch.stack(
            [
                torch.cat([parts[:, :slot], parts[:, slot + 1 :]], dim=1).sum(dim=1)
                for slot in range(num_slots)
            ],
            dim=1,
        )  # (B, N, 4, H, W)
        error = _errors(frames, parts.sum(dim=1, keepdim=True))  # (B, 1)
        rises = (_errors(frames, without) / error - 1).masked_fill(spare, torch.inf)  # (B, N)
        is_least = rises.argmin(dim=1, keepdim=True) == numbers
        spare = spare | (is_least & (rises < threshold))
    return spare


def _errors(frames: Tensor, sums: Tensor) -> Tensor:
    """Return mean squared errors (B, S) of masked colours and masks, summed: (B, S, 4, H, W)."""
    made = sums[:, :, :3] / sums[:, :, 3:].clamp(min=TINY)  # where no mask is left: black
    return (made - frames.unsqueeze(1)).square().mean(dim=(2, 3, 4))

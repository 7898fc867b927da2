"""Slots of the future that no predictor makes.

B videos of a batch, N slots, D slot_dim.
"""

import torch
from torch import Tensor


def extrapolate(context: Tensor, num_preds: int) -> Tensor:
    """Let slots (B, num_context, N, D) go on as from the last frame but one to the last.

    Args:
        context: At least two frames.
        num_preds: Frames to make.

    Returns:
        s_t + k (s_t - s_{t-1}) for k from 1 on, shape (B, num_preds, N, D).
    """
    last = context[:, -1:]  # (B, 1, N, D)
    steps = torch.arange(1, num_preds + 1, device=context.device)[:, None, None]
    return last + steps * (last - context[:, -2:-1])

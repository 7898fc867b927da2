"""Autoregressive prediction: feed a predictor its own output.

B batch, N slots, D slot_dim.
"""

from typing import Any

import torch
from torch import Tensor, nn


def rollout(
    predictor: nn.Module, context_slots: Tensor, num_preds: int, teacher_slots: Tensor | None = None
) -> Tensor:
    """Predict future slots autoregressively (OCVP, section 3.2).

    A predictor with `advance` reads each context frame once and carries its state on. Any other
    one sees a window that moves on with each prediction, of at most its `buffer_size` frames
    (without that attribute, or where it is None: of all frames so far).

    Args:
        predictor: Maps slots (B, T, N, D) to (B, T, N, D).
        context_slots: Slots of the given frames, shape (B, num_context, N, D).
        num_preds: Frames to predict, at least 1.
        teacher_slots: True future slots, shape (B, num_preds, N, D), to go on from in place of
            the predictor's own output (teacher forcing); in training only.

    Returns:
        Predicted slots, shape (B, num_preds, N, D).

    Raises:
        ValueError: If num_preds is below 1, the context is empty, or teacher_slots are given in
            evaluation mode or with another shape.
    """
    if num_preds < 1:
        raise ValueError(f"num_preds is {num_preds}; it must be at least 1")
    if context_slots.dim() != 4 or context_slots.shape[1] < 1:
        raise ValueError(
            f"context_slots have shape {tuple(context_slots.shape)}; they must be (B, num_context, "
            "N, D) with at least one frame"
        )
    expected = (len(context_slots), num_preds, *context_slots.shape[2:])
    if teacher_slots is not None and not predictor.training:
        raise ValueError("teacher_slots are given in evaluation mode; they are for training only")
    if teacher_slots is not None and teacher_slots.shape != expected:
        raise ValueError(
            f"teacher_slots have shape {tuple(teacher_slots.shape)}; for this context and "
            f"num_preds they must have {expected}"
        )
    way = _carry_state if hasattr(predictor, "advance") else _move_window
    return way(predictor, context_slots, num_preds, teacher_slots)


def check_buffer(buffer_size: int | None, num_context: int) -> None:
    """Check that a predictor looks back on the whole context.

    Raises:
        ValueError: If it does not: context frames would be given and ignored.
    """
    if buffer_size is not None and buffer_size < num_context:
        raise ValueError(
            f"the predictor's buffer_size is {buffer_size}, smaller than num_context, "
            f"{num_context}; give a buffer_size of at least {num_context}, or null for no limit"
        )


def _carry_state(
    predictor: Any, context_slots: Tensor, num_preds: int, teacher_slots: Tensor | None
) -> Tensor:
    """Roll out a recurrent predictor by its `advance`."""
    outputs, state = predictor.advance(context_slots, None)  # (B, num_context, N, D)
    predicted = [outputs[:, -1]]  # (B, N, D)
    for index in range(num_preds - 1):
        newest = predicted[-1] if teacher_slots is None else teacher_slots[:, index]  # (B, N, D)
        outputs, state = predictor.advance(newest.unsqueeze(1), state)  # (B, 1, N, D)
        predicted.append(outputs[:, -1])
    return torch.stack(predicted, dim=1)  # (B, num_preds, N, D)


def _move_window(
    predictor: Any, context_slots: Tensor, num_preds: int, teacher_slots: Tensor | None
) -> Tensor:
    """Roll out a predictor that sees a window of frames."""
    buffer_size: int | None = getattr(predictor, "buffer_size", None)
    predict_next = getattr(predictor, "predict_next", lambda slots: predictor(slots)[:, -1])
    window = list(context_slots.unbind(dim=1))  # num_context times (B, N, D)
    predicted: list[Tensor] = []
    for index in range(num_preds):
        if buffer_size is not None:
            window = window[-buffer_size:]  # the oldest frames fall out
        predicted.append(predict_next(torch.stack(window, dim=1)))  # (B, N, D)
        window.append(predicted[-1] if teacher_slots is None else teacher_slots[:, index])
    return torch.stack(predicted, dim=1)  # (B, num_preds, N, D)

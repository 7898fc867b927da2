"""What SAVi and the predictors are trained to make small.

B batch, T frames, N slots, D slot_dim, H W pixels.
"""

import torch.nn.functional as functional
from torch import Tensor

from ocvp.models.precision import at_least_float32


def savi_loss(reconstruction: Tensor, frames: Tensor) -> Tensor:
    """Mean squared error of reconstruction and frames, both clamped to [0, 1].

    Args:
        reconstruction: Shape (B, T, 3, H, W), not clamped yet.
        frames: The same shape, values in [0, 1].

    Returns:
        Scalar.
    """
    return _mse(reconstruction.clamp(0.0, 1.0), frames.clamp(0.0, 1.0))


def predictor_loss(
    predicted_frames: Tensor,
    frames: Tensor,
    predicted_slots: Tensor,
    slots: Tensor,
    *,
    frame_weight: float = 1.0,
    slot_weight: float = 1.0,
) -> dict[str, Tensor]:
    """Errors of predicted frames and slots (OCVP, section 3.3).

    Args:
        predicted_frames: Decoded predictions, shape (B, T, 3, H, W), not clamped.
        frames: True frames, the same shape.
        predicted_slots: Shape (B, T, N, D).
        slots: SAVi's slots of the true frames, the same shape.
        frame_weight: Weight of the mean squared error of the frames.
        slot_weight: Weight of the mean squared error of the slots.

    Returns:
        Scalars: the weighted sum under `loss`, and its parts `frame_mse` and `slot_mse` before
        weighting.
    """
    frame_mse = _mse(predicted_frames, frames)  # over B, T, 3, H, W
    slot_mse = _mse(predicted_slots, slots)  # over B, T, N, D
    loss = frame_weight * frame_mse + slot_weight * slot_mse
    return {"loss": loss, "frame_mse": frame_mse, "slot_mse": slot_mse}


def _mse(predicted: Tensor, true: Tensor) -> Tensor:
    """Return the mean squared error, summed up in float32 at least."""
    return functional.mse_loss(at_least_float32(predicted), at_least_float32(true))

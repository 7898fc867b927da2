"""What SAVi and the predictors are trained to make small.

B batch, T frames, N slots, D slot_dim, H W pixels.
"""

from collections.abc import Mapping

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


def savi_losses(
    reconstruction: Tensor,
    frames: Tensor,
    predicted: Mapping[str, Tensor],
    targets: Mapping[str, Tensor],
    weights: Mapping[str, float],
) -> dict[str, Tensor]:
    """Errors of the colours and of what is predicted beside them.

    Args:
        reconstruction: Shape (B, T, 3, H, W), not clamped yet.
        frames: The same shape, values in [0, 1].
        predicted: What is predicted, by name, shape (B, T, C, H, W); it is not clamped.
        targets: What it should be, by name, for the first frames: shape (B, T', C, H, W).
        weights: Weight of each target's mean squared error; that of the colours is 1.

    Returns:
        Scalars: the weighted sum under `loss`, and, where there are targets, its parts before
        weighting: `frame_mse` and `NAME_mse`.
    """
    frame_mse = savi_loss(reconstruction, frames)
    if not targets:
        return {"loss": frame_mse}
    errors = {name: _target_error(predicted[name], true) for name, true in targets.items()}
    loss = frame_mse + sum(weights[name] * error for name, error in errors.items())
    parts = {f"{name}_mse": error for name, error in errors.items()}
    return {"loss": loss, "frame_mse": frame_mse, **parts}


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


def _target_error(predicted: Tensor, true: Tensor) -> Tensor:
    """Return the mean squared error over the frames that have a target, 0 where none has."""
    if true.shape[1] == 0:  # 0 times it: processes that train together want all gradients
        return 0.0 * predicted.sum()
    return _mse(predicted[:, : true.shape[1]], true)


def _mse(predicted: Tensor, true: Tensor) -> Tensor:
    """Return the mean squared error, summed up in float32 at least."""
    return functional.mse_loss(at_least_float32(predicted), at_least_float32(true))

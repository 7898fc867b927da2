"""What SAVi and the predictors are trained to make small.

B batch, T frames, F frames of all clips, N slots, D slot_dim, H W pixels.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as functional
from torch import Tensor

from ocvp.models.precision import at_least_float32
from ocvp.models.savi import SaviOutput

PICTURE_TOLERANCE = 2e-3
"""Mean squared error of the colours, in [0, 1], at which a slot's picture counts as the frame's by
1 / e: colours that are off by 4.5 % each."""


def savi_loss(reconstruction: Tensor, frames: Tensor) -> Tensor:
    """Mean squared error of reconstruction and frames, both clamped to [0, 1].

    Args:
        reconstruction: Shape (B, T, 3, H, W), not clamped yet.
        frames: The same shape, values in [0, 1].

    Returns:
        Scalar.
    """
    return _mse(reconstruction.clamp(0.0, 1.0), frames.clamp(0.0, 1.0))


def savi_squares(
    reconstruction: Tensor, predicted: Mapping[str, Tensor], truths: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Squared errors of the colours and of what is predicted beside them, summed up.

    Args:
        reconstruction: Shape (F, 3, H, W), not clamped yet.
        predicted: What is predicted beside it, by name, shape (F, C, H, W); it is not clamped.
        truths: What all this should be, the frames under `frames`, of the first frames: shape
            (F', C, H, W).

    Returns:
        Scalars, by the names of `truths`.
    """
    found = {"frames": reconstruction.clamp(0.0, 1.0), **predicted}
    truths = {**truths, "frames": truths["frames"].clamp(0.0, 1.0)}
    return {name: square(found[name][: len(true)], true) for name, true in truths.items()}


def made_by_slots(output: SaviOutput, frames: Tensor) -> Tensor:
    """How well each slot's picture, before masking, is the frame.

    Args:
        output: What slots (F, N, D) decode to.
        frames: Shape (F, 3, H, W), values in [0, 1].

    Returns:
        exp(-error / `PICTURE_TOLERANCE`), shape (F, N, H, W), through which no gradients flow.
    """
    pictures = output.objects.detach()  # (F, N, 3, H, W)
    errors = (pictures - frames.unsqueeze(1)).square().mean(dim=2)  # (F, N, H, W)
    return torch.exp(-errors / PICTURE_TOLERANCE)


def shared_background(output: SaviOutput, made: Tensor) -> Tensor:
    """Share of the background that is not its slot's.

    A plain background can be made by every slot alike, and nothing in the error of the colours says
    which of them should: masks then reach far beyond their objects. Here the background's slot is
    the one whose picture, before masking, is the frame in the most places, and what it makes so
    well is asked of no other slot. Objects, which that picture does not show, are left out of it;
    and where no slot makes a background, as before a camera that moves, this is about 0.

    Args:
        output: What slots (F, N, D) decode to.
        made: How well each slot's picture is the frame (`made_by_slots`), (F, N, H, W).

    Returns:
        How well that slot's is, times the other slots' masks: shape (F, 1, H, W), in [0, 1].
    """
    slot = _background_slot(made)
    every = torch.arange(len(slot), device=slot.device)
    return made[every, slot, None] * (1 - output.masks[every, slot])


def shared_objects(output: SaviOutput, made: Tensor) -> Tensor:
    """Share of the objects that slots hold beside larger slots that make the same.

    Where there are more slots than objects, two of them may hold one object, half each: its colours
    are as right as with one, and which of the two is ahead changes from frame to frame. Here slots,
    the background's aside (see `shared_background`), stand in the order of their masks' areas, and
    what one of them makes well is asked of none that comes after it.

    Args:
        output: What slots (F, N, D) decode to.
        made: How well each slot's picture is the frame (`made_by_slots`), (F, N, H, W).

    Returns:
        Sum over slots of each one's mask times the best that a larger slot makes of the pixel:
        shape (F, 1, H, W), values in [0, 1].
    """
    masks = output.masks.squeeze(2)  # (F, N, H, W)
    areas = masks.detach().mean(dim=(2, 3))  # (F, N)
    areas.scatter_(1, _background_slot(made).unsqueeze(1), 2.0)  # above all others: it goes first
    order = areas.argsort(dim=1, descending=True)[..., None, None].expand_as(masks)
    made, masks = made.gather(1, order), masks.gather(1, order)
    by_larger = made[:, 1:-1].cummax(dim=1).values  # (F, N - 2, H, W)
    return (by_larger * masks[:, 2:]).sum(dim=1, keepdim=True)


def _background_slot(made: Tensor) -> Tensor:
    """Return the slot that makes the most of each frame, (F,)."""
    return made.mean(dim=(2, 3)).argmax(dim=1)


def predictor_loss(
    frame_mse: Tensor,
    predicted_slots: Tensor,
    slots: Tensor,
    *,
    frame_weight: float = 1.0,
    slot_weight: float = 1.0,
) -> dict[str, Tensor]:
    """Errors of predicted frames and slots (OCVP, section 3.3).

    Args:
        frame_mse: Mean squared error of the decoded predictions, not clamped.
        predicted_slots: Shape (B, T, N, D).
        slots: SAVi's slots of the true frames, the same shape.
        frame_weight: Weight of the mean squared error of the frames.
        slot_weight: Weight of the mean squared error of the slots.

    Returns:
        Scalars: the weighted sum under `loss`, and its parts `frame_mse` and `slot_mse` before
        weighting.
    """
    slot_mse = _mse(predicted_slots, slots)  # over B, T, N, D
    loss = frame_weight * frame_mse + slot_weight * slot_mse
    return {"loss": loss, "frame_mse": frame_mse, "slot_mse": slot_mse}


def square(predicted: Tensor, true: Tensor) -> Tensor:
    """Return the squared errors, summed up in float32 at least."""
    predicted, true = at_least_float32(predicted), at_least_float32(true)
    return functional.mse_loss(predicted, true, reduction="sum")


def _mse(predicted: Tensor, true: Tensor) -> Tensor:
    """Return the mean squared error, summed up in float32 at least."""
    return functional.mse_loss(at_least_float32(predicted), at_least_float32(true))

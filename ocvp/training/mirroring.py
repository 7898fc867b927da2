"""Clips mirrored at random: few videos become up to eight times as many, so that a model learns
what holds of all of them before it knows each by heart.

B batch, T frames, H W pixels, K objects; `...` further dimensions, of colours or of none.
"""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from ocvp.batches.windows import Window
from ocvp.compute.device import sent
from ocvp.compute.randomness import generator

FLOWS = ("flow", "backward_flow")


def mirrored(
    windows: Sequence[Window], fields: Mapping[str, Tensor], *, seed: int, epoch: int
) -> dict[str, Tensor]:
    """Mirror each window at random: upside down, left to right and, if square, at the diagonal.

    Args:
        windows: The windows, whose videos the draws depend on.
        fields: What was read of them, on any device: `boxes`, shape (B, T, K, 4), `flow` and
            `backward_flow`, (B, T, H, W, 2), with their directions; all else are pictures,
            (B, T, H, W, ...), and `frames` among them.
        seed: The run's seed.
        epoch: The epoch, on which the draws depend.

    Returns:
        The same fields, of the same shapes and types.
    """
    draws = np.stack(
        [generator(seed, "mirror", epoch, window.video).integers(2, size=3) for window in windows]
    )
    height, width = fields["frames"].shape[2:4]
    upside_down, left_to_right = partial(_along, 0), partial(_along, 1)
    mirrors = (upside_down, left_to_right, _at_diagonal)[: 3 if height == width else 2]
    for mirror, chosen in zip(mirrors, draws.T.astype(bool), strict=False):
        fields = {
            name: _where(chosen, mirror(name, values), values) for name, values in fields.items()
        }
    return dict(fields)


def _where(chosen: np.ndarray, changed: Tensor, values: Tensor) -> Tensor:
    """Return `changed` where `chosen`, shape (B,), says so."""
    mask = torch.from_numpy(chosen.reshape(-1, *[1] * (values.dim() - 1)))
    return torch.where(sent(mask, values.device), changed, values)


def _along(axis: int, name: str, values: Tensor) -> Tensor:
    """Mirror along rows (axis 0) or columns (axis 1)."""
    if name == "boxes":
        first, last = values[..., axis], values[..., axis + 2]
        is_absent = (values < 0).all(dim=-1)
        changed = values.clone()
        changed[..., axis] = torch.where(is_absent, first, 1 - last)
        changed[..., axis + 2] = torch.where(is_absent, last, 1 - first)
        return changed
    changed = values.flip(2 + axis)
    if name in FLOWS:
        changed[..., axis].neg_()  # flip returns a copy
    return changed


def _at_diagonal(name: str, values: Tensor) -> Tensor:
    """Exchange rows and columns."""
    if name == "boxes":
        return values[..., [1, 0, 3, 2]]
    changed = values.transpose(2, 3)
    return changed.flip(-1) if name in FLOWS else changed

"""Errors of what slots decode to, part by part of the frames.

A decoder's feature maps are most of the memory of a training step. An error that is a sum over
frames needs them no longer than its gradient does, so each part of the frames is decoded, compared
and differentiated before the next one: what stays of it are gradients, of its slots and of the
decoder's weights. Nothing is computed twice, and a part's maps are more often still in a cache.

F frames (of all clips), N slots, D slot_dim, C channels, H W pixels.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ocvp.models.precision import full_precision

PIXELS_ON_CPU, PIXELS_ON_GPU = 2**17, 2**21
"""Pixels, of all slots, that are decoded at once; a GPU needs more of them to be busy. They count
as code: another number sums up the gradients of weights in another order."""

Truths = Mapping[str, Tensor]
SquaresOf = Callable[[Tensor, Truths], Mapping[str, Tensor]]
"""From slots (F, N, D) and what they should decode to, to the sums of squared errors, by name."""


def mean_squares(
    squares_of: SquaresOf,
    slots: Tensor,
    truths: Truths,
    weights: Mapping[str, float],
    parameters: Sequence[Tensor],
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the weighted sum of mean squared errors of decoded slots, and its parts.

    Args:
        squares_of: Decodes slots, and sums the squares of what differs. A function of each frame
            by itself: nothing random, nothing that it remembers.
        slots: Shape (F, N, D).
        truths: What they should decode to, by name, of the first frames: shape (F', C, H, W).
        weights: Weight of each mean.
        parameters: What `squares_of` decodes with, as far as it needs gradients.

    Returns:
        The weighted sum, through which gradients flow to slots and parameters (once), and the
        means, through which none do: float32 scalars. A mean over no frames is 0.
    """
    parts = _Parts(squares_of, truths, weights, _frames_of_part(slots, truths))
    if torch.is_grad_enabled():
        loss, *means = _WithGradients.apply(parts, slots, *parameters)
    else:
        loss, means = parts.total([squares for _, squares in parts.squares(slots)])
    return loss, dict(zip(truths, means, strict=True))


def _frames_of_part(slots: Tensor, truths: Truths) -> int:
    """Return how many frames are decoded at once, at least 1."""
    height, width = next(iter(truths.values())).shape[-2:]
    pixels = PIXELS_ON_CPU if slots.device.type == "cpu" else PIXELS_ON_GPU
    return max(pixels // (slots.shape[1] * height * width), 1)


class _Parts:
    """The frames, a part at a time, and how the sums of all parts become means."""

    def __init__(
        self, squares_of: SquaresOf, truths: Truths, weights: Mapping[str, float], size: int
    ):
        self._squares_of, self._truths, self._size = squares_of, truths, size
        self._shares = [1 / max(true.numel(), 1) for true in truths.values()]
        self._weights = [weights[name] for name in truths]

    def squares(self, slots: Tensor) -> Iterator[tuple[Tensor, list[Tensor]]]:
        """Yield the slots of each part, by themselves, and its sums of squares."""
        for start in range(0, len(slots), self._size):
            part = slice(start, start + self._size)
            own = slots[part].detach().requires_grad_(slots.requires_grad)
            truths = {name: true[part] for name, true in self._truths.items()}
            found = self._squares_of(own, truths)
            yield own, [found[name] for name in truths]

    def total(self, squares: Sequence[Sequence[Tensor]]) -> tuple[Tensor, list[Tensor]]:
        """Return the weighted sum of the means, and these, from the sums of squares of parts."""
        sums = [torch.stack(column).sum() for column in zip(*squares, strict=True)]
        means = [value * share for value, share in zip(sums, self._shares, strict=True)]
        weighted = [mean * weight for mean, weight in zip(means, self._weights, strict=True)]
        return torch.stack(weighted).sum(), means


class _WithGradients(torch.autograd.Function):
    """`_Parts.total`, whose gradients are computed in the forward pass already."""

    @staticmethod
    def forward(ctx: Any, parts: _Parts, slots: Tensor, *parameters: Tensor) -> tuple[Tensor, ...]:
        found: list[list[Tensor]] = []
        slot_gradients: list[Tensor] = []
        gradients: list[Tensor] = []
        with torch.enable_grad():
            for own, squares in parts.squares(slots):
                loss, _ = parts.total([squares])
                with full_precision(slots.device):  # a backward pass belongs outside of autocast
                    first, *others = torch.autograd.grad(loss, [own, *parameters])
                slot_gradients.append(first)
                if found:
                    for gradient, other in zip(gradients, others, strict=True):
                        gradient += other
                else:
                    gradients = others
                found.append([value.detach() for value in squares])
        ctx.save_for_backward(torch.cat(slot_gradients), *gradients)
        loss, means = parts.total(found)
        ctx.mark_non_differentiable(*means)
        return loss, *means

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, scale: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        return None, *(gradient * scale for gradient in ctx.saved_tensors)

"""In which precision numbers are computed: bfloat16 where it is safe, float32 where it is not.

Parameters, gradients, optimiser, slots, predictions and losses are float32 always. In bfloat16
(8 significant bits, the range of float32, so that no loss needs scaling) are, under `autocast`:

- the convolutions of encoder and decoder, and the encoder's MLP;
- the predictors' linear layers and attention. What torch's fused attention sums up within,
  softmax included, is float32.

In float32 stay, by `full_precision` and `at_least_float32` in the modules themselves:

- what is carried from frame to frame: slot attention, the transition, the LSTM, the slots that a
  predictor puts out. These are small, so bfloat16 would save next to nothing there;
- every LayerNorm, the position embeddings and the residual streams of tokens;
- the softmax over slots of the masks, the mixture of objects, and the losses.
"""

import contextlib
from typing import Literal

import torch
from torch import Tensor

Precision = Literal["float32", "bfloat16"]

FIRST_CAPABILITY = (8, 0)
"""Compute capability (Ampere) from which NVIDIA GPUs have bfloat16 and TF32 in hardware."""


def resolve_precision(name: str, device: torch.device | str) -> Precision:
    """Return the precision to train in.

    Args:
        name: `float32`, `bfloat16`, or `auto`: bfloat16 on a GPU that has it in hardware
            (compute capability 8.0), float32 elsewhere. Also on CPUs that have it, where it may
            cost time (docs/performance.md).
        device: The device to train on.

    Raises:
        ValueError: If the name is another one, or bfloat16 is asked of a GPU that emulates it.
    """
    device = torch.device(device)
    if name == "float32":
        return "float32"
    if name not in ("auto", "bfloat16"):
        raise ValueError(
            f"training.precision is {name!r}; it must be one of auto, float32, bfloat16"
        )
    if device.type != "cuda":
        return "bfloat16" if name == "bfloat16" else "float32"
    capability = torch.cuda.get_device_capability(device)
    if capability >= FIRST_CAPABILITY:
        return "bfloat16"
    if name == "auto":
        return "float32"
    raise ValueError(
        f"training.precision is bfloat16, but {device} has compute capability "
        f"{capability[0]}.{capability[1]}, which only emulates it; choose auto or float32"
    )


def autocast(
    precision: Precision, device: torch.device | str
) -> contextlib.AbstractContextManager[object]:
    """Return a context in which forward passes and losses compute in this precision.

    For float32 it does nothing at all. Enter it anew for each step: bfloat16 copies of the weights
    live as long as it. Backward passes belong outside.
    """
    if precision == "float32":
        return contextlib.nullcontext()
    return torch.autocast(torch.device(device).type, dtype=torch.bfloat16)


def full_precision(device: torch.device) -> contextlib.AbstractContextManager[object]:
    """Return a context that switches `autocast` off; without one around it, it does nothing.

    It casts no tensor: see `at_least_float32`.
    """
    if not torch.is_autocast_enabled(device.type):
        return contextlib.nullcontext()
    return torch.autocast(device.type, enabled=False)


def at_least_float32(tensor: Tensor) -> Tensor:
    """Return a bfloat16 or float16 tensor as float32, any other as it is."""
    return tensor.float() if tensor.dtype in (torch.bfloat16, torch.float16) else tensor

"""What the machine can do at best: one large convolution, and one large copy."""

import functools
import time
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as functional

ROUNDS = 7
"""Rounds, of which the fastest counts: what else the machine does only slows one down."""
CHANNELS, SIDE, KERNEL = 64, 64, 5
FRAMES = {"cpu": 16, "cuda": 512}
COPY_BYTES = {"cpu": 1 << 28, "cuda": 1 << 31}
QUICK = 1 / 16


def ceilings(device: torch.device, precision: str, quick: bool = False) -> dict[str, float]:
    """Return the best rates that were measured.

    Args:
        device: Where.
        precision: `float32` or `bfloat16`, of the convolution.
        quick: Measure something smaller, to see that it works.

    Returns:
        `operations`, a second, and `bytes`, a second, read and written together.
    """
    share = QUICK if quick else 1
    num_frames = max(1, int(FRAMES[device.type] * share))
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    frames = torch.randn(num_frames, CHANNELS, SIDE, SIDE, device=device, dtype=dtype)
    kernels = torch.randn(CHANNELS, CHANNELS, KERNEL, KERNEL, device=device, dtype=dtype)
    operations = 2 * frames.numel() * CHANNELS * KERNEL**2
    layouts = [frames, frames.contiguous(memory_format=torch.channels_last)]
    convolving = min(
        least(functools.partial(functional.conv2d, x, kernels, padding=KERNEL // 2), device)
        for x in layouts
    )
    source = torch.ones(int(COPY_BYTES[device.type] * share) // 4, device=device)
    target = torch.zeros_like(source)  # zeros are written: its pages are there
    copying = least(lambda: target.copy_(source), device)
    return {"operations": operations / convolving, "bytes": 2 * 4 * source.numel() / copying}


@torch.no_grad()
def least(run: Callable[[], Any], device: torch.device) -> float:
    """Return the seconds of the fastest of several runs."""
    run()
    return min(seconds_of(run, device) for _ in range(ROUNDS))


def seconds_of(run: Callable[[], Any], device: torch.device, calls: int = 1) -> float:
    """Return how long some calls take, each."""
    wait_for(device)
    start = time.perf_counter()
    for _ in range(calls):
        run()
    wait_for(device)
    return (time.perf_counter() - start) / calls


def wait_for(device: torch.device) -> None:
    """Wait until a GPU has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)

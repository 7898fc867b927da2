"""How fast a SAVi trains on this machine."""

import itertools
import time
from collections.abc import Callable

import torch

from ocvp.compute.device import prepare_device
from ocvp.config.savi import SaviEntry
from ocvp.models.precision import autocast, resolve_precision
from ocvp.models.savi import SAVi
from ocvp.training.losses import savi_loss
from ocvp.training.step import make_optimizer

UNTIMED, TIMED = 3, 20
"""Steps: the first ones are slower."""


def steps_per_second(entry: SaviEntry, resolution: tuple[int, int]) -> float:
    """Time some training steps on clips of noise.

    Args:
        entry: The SAVi, which is to be trained from colours alone.
        resolution: Height and width of the frames.
    """
    model, training = entry.model, entry.training
    assert model is not None
    assert training is not None
    device = prepare_device("auto", training.num_threads, tf32=training.tf32)
    precision = resolve_precision(training.precision, device)
    savi = SAVi(**model.model_dump(), resolution=resolution).to(device)
    savi.corrector.last_gradient_only = training.attention_gradient == "last"
    optimizer = make_optimizer(savi, training)
    frames = torch.rand(training.batch_size, training.clip_length, 3, *resolution, device=device)

    def step() -> float:
        optimizer.zero_grad()
        with autocast(precision, device):
            output = savi.decode(savi.encode(frames, prune=False))
            loss = savi_loss(output.reconstruction, frames)
        loss.backward()
        optimizer.step()
        return loss.item()  # waits for a GPU

    return 1 / least_seconds(step)


def least_seconds(step: Callable[[], object], clock: Callable[[], float] = time.monotonic) -> float:
    """Return how long something takes on a quiet machine: other programs can but slow it down."""
    for _ in range(UNTIMED):
        step()
    times = [clock()]
    for _ in range(TIMED):
        step()
        times.append(clock())
    return min(after - before for before, after in itertools.pairwise(times))

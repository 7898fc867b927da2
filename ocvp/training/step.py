"""One optimiser step: its rate, and a batch that may be cut into parts."""

import contextlib
import itertools
import math
import operator
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn

from ocvp.batches.windows import Batch, Window
from ocvp.compute.process_group import Group, part_of
from ocvp.config.entries import Training
from ocvp.models.precision import Precision, autocast
from ocvp.training.task import Task

Parts = tuple[list[list[Window]], list[float]]
"""The windows of each part of a batch, and their shares of it."""


def make_optimizer(
    module: nn.Module, settings: Training, fused: bool = True
) -> torch.optim.Optimizer:
    """Return Adam over the parameters that need a gradient (AdamW's decay, which may be 0)."""
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    return torch.optim.AdamW(
        parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=fused
    )


class Losses(nn.Module):
    """A task's losses as a module, whose gradients several processes can average.

    Args:
        task: The task.
        precision: `float32` or `bfloat16`, of what is not delicate.
    """

    def __init__(self, task: Task, precision: Precision):
        super().__init__()
        self.module = task.module
        self._task, self._precision = task, precision
        self._device = next(task.module.parameters()).device

    def forward(self, batch: Batch, epoch: int) -> dict[str, Tensor]:
        """Return what the task's `losses` returns."""
        with autocast(self._precision, self._device):
            return self._task.losses(batch, epoch)


def train_step(
    losses: nn.Module,
    batches: Iterator[Batch],
    weights: Sequence[float],
    epoch: int,
    optimizer: torch.optim.Optimizer,
    rate: float,
    gradient_clip: float | None,
    num_processes: int = 1,
) -> tuple[dict[str, Tensor], Tensor]:
    """Take one optimiser step on the parts of a batch.

    Args:
        losses: `Losses`, or what averages their gradients over processes.
        batches: Gives the parts.
        weights: Each part's share of the whole batch, whose sum over parts and processes is 1.
        epoch: Number of the epoch.
        optimizer: Steps at the end.
        rate: Its learning rate.
        gradient_clip: Largest norm of the gradients; None: no clipping.
        num_processes: Processes over which gradients are averaged.

    Returns:
        This process' share of the losses, and the norm of the gradients before clipping.
    """
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad()
    # --- forward and backward, part by part -------------------------------------------------------
    totals: dict[str, Tensor] = {}
    no_sync = getattr(losses, "no_sync", contextlib.nullcontext)
    for number, weight in enumerate(weights, 1):
        # Gradients are averaged once, with those of the last part.
        with no_sync() if number < len(weights) else contextlib.nullcontext():
            values = losses(next(batches), epoch)  # scalars, means over the part
            # Times the processes: what averages the gradients over them divides by as many.
            (values["loss"] * (weight * num_processes)).backward()
        for name, value in values.items():
            totals[name] = totals.get(name, 0.0) + value.detach() * weight
    # --- clip, step: no number is read back here, as that would make a GPU wait -------------------
    limit = gradient_clip if gradient_clip is not None else float("inf")  # inf: measured only
    norm = nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], limit)
    optimizer.step()
    return totals, norm


def parts_of(windows: Sequence[Window], group: Group, num_parts: int) -> Parts:
    """Return the parts of a batch that this process goes through, and their shares of it.

    Args:
        windows: The whole batch.
        group: The processes that divide it.
        num_parts: Parts of each process' share; fewer where it has fewer windows.
    """
    mine = group.share_of(windows)
    parts = [list(part_of(mine, number, num_parts)) for number in range(num_parts)]
    parts = [part for part in parts if part]
    # A process without a window of its own takes part with one that does not count.
    if not parts:
        return [list(windows[:1])], [0.0]
    return parts, [len(part) / len(windows) for part in parts]


def validation_losses(
    task: Task, group: Group | None = None, between: Callable[[], None] = lambda: None
) -> dict[str, float]:
    """Return the means of the validation losses over all windows.

    Whole batches are divided among the processes and their sums are added in the order of the
    batches, so the result does not depend on how many processes there are.

    Args:
        task: What is validated; its module is in evaluation mode.
        group: The processes that validate together; None: this one alone.
        between: Called by every process after each of its turns, as often in each.
    """
    group = group or Group()
    plan = task.validation_plan()
    numbers = range(group.rank, len(plan), group.size)  # this process' batches
    batches = task.read_validation([plan[number] for number in numbers])
    found: list[tuple[int, dict[str, Tensor]]] = []
    # As many turns in each process, since they agree on something between them.
    for turn in range(math.ceil(len(plan) / group.size)):
        if turn < len(numbers):
            found.append((numbers[turn], task.validation_losses(next(batches))))
        between()
    # Read at the end only: reading makes a GPU wait.
    own = [(number, {k: v.item() for k, v in losses.items()}) for number, losses in found]
    totals: dict[str, float] = {}
    rows = itertools.chain.from_iterable(group.collect(own))  # (number of the batch, losses)
    for number, losses in sorted(rows, key=operator.itemgetter(0)):
        for name, value in losses.items():
            totals[name] = totals.get(name, 0.0) + value * len(plan[number])  # mean to sum
    num_windows = sum(map(len, plan))
    return {name: total / num_windows for name, total in totals.items()}

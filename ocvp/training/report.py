"""What a training shows while it runs: points of curves, pictures, and a bar.

A GPU computes the losses of a step while the next one is started already, and reading them makes
it wait. So they are collected until some are due, and read together.
"""

import time
from typing import NamedTuple

import torch
from torch import Tensor

from ocvp.runtime.progress import progress
from ocvp.runtime.training_log import TrainingLog
from ocvp.training.faults import check_losses
from ocvp.training.schedule import rate_of
from ocvp.training.setup import Setup
from ocvp.training.state import TrainingState


class TakenStep(NamedTuple):
    """A step that was taken, and whose losses were not read yet."""

    step: int
    rate: float
    losses: dict[str, Tensor]
    """This process' share of them, and the norm of the gradients, which is the same in all."""
    is_due: bool
    """Whether it becomes a point of the curves."""


class Report:
    """The curves and the bar of one run, and the steps that are not in them yet.

    Attributes:
        log: TensorBoard's files, which the first process writes.
        bar: The progress bar, which it shows.
    """

    def __init__(self, setup: Setup, state: TrainingState):
        self._setup = setup
        is_first = setup.group.is_first
        self.log = TrainingLog(setup.folder, state.step) if is_first else TrainingLog.disabled()
        self.bar = progress(
            description=setup.description,
            unit="step",
            total=state.num_steps,
            initial=state.step,
            is_shown=is_first,
            has_long_text=True,
        )
        self._begin(state)

    def _begin(self, state: TrainingState) -> None:
        self._start, self._examples_before = time.monotonic(), state.examples
        self._unread: list[TakenStep] = []
        self._loss: float | None = None

    def go_back(self, state: TrainingState) -> None:
        """Count on from a state of an earlier step; points after it are void."""
        self._begin(state)
        self.log.restart(state.step)
        self.bar.go_back(state.step)

    def add(self, step: TakenStep) -> None:
        """Take up a step, without reading its losses."""
        self._unread.append(step)
        self.bar.update()

    def read(self, state: TrainingState) -> None:
        """Read the losses of all processes for the last steps, check them, and draw what is due.

        Raises:
            NotFiniteError: If one is not finite.
        """
        steps, self._unread = self._unread, []
        if not steps:
            return
        group, names = self._setup.group, list(steps[0].losses)
        rows = [torch.stack([step.losses[name] for name in names]) for step in steps]  # (losses,)
        # One transfer from the GPU: (steps, losses) here, (processes, steps, losses) together.
        all_rows = group.collect(torch.stack(rows).tolist())
        for step, *shares in zip(steps, *all_rows, strict=True):
            columns = zip(*shares, strict=True)
            values = {name: sum(column) for name, column in zip(names, columns, strict=True)}
            # No sum: each process has the norm of the gradients that all share.
            values["gradient_norm"] = shares[0][names.index("gradient_norm")]
            where = f"step {step.step}, learning rate {step.rate:.3g}"
            check_losses(values, where)
            if step.is_due:
                self.log.scalars("train", {**values, "learning_rate": step.rate}, step.step)
                self._loss = values["loss"]
        self.show(state)

    def show(self, state: TrainingState) -> None:
        """Write losses, rate and speed beside the bar."""
        rate = rate_of(self._setup.settings, state, self._setup.steps_per_epoch)
        elapsed = max(time.monotonic() - self._start, 1e-9)
        throughput = (state.examples - self._examples_before) / elapsed
        values = {"loss": self._loss, "val": state.metrics.get("loss"), "lr": rate}
        parts = [f"{name} {value:.3g}" for name, value in values.items() if value is not None]
        self.bar.set_postfix_str(", ".join([*parts, f"{throughput:.0f} videos/s"]), refresh=False)

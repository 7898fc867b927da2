"""The training loop of SAVi and of the predictors.

One step: rate, forward and backward, clip, step, log. After each epoch: validate, keep the best
weights, draw images, write what the run resumes from.
"""

import copy
import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter

from ocvp.config import Training
from ocvp.program import progress
from ocvp.randomness import derived_seed
from ocvp.resume import ResumeFolder
from ocvp.schedule import learning_rate
from ocvp.windows import Window

logger = logging.getLogger(__name__)

LOG_EVERY_STEPS = 10
"""Steps between two points of a training curve (and between checks for NaN on a GPU)."""

Batch = tuple[list[Window], dict[str, Tensor]]


class Task(Protocol):
    """What is trained, on what, and how it is judged."""

    @property
    def module(self) -> nn.Module:
        """The model, on the device to train on."""

    def plan(self, epoch: int) -> list[list[Window]]:
        """Return the windows of each batch of an epoch."""

    def read(self, plan: Sequence[Sequence[Window]]) -> Iterable[Batch]:
        """Read the batches of a plan, in its order."""

    def losses(self, batch: Batch, epoch: int) -> dict[str, Tensor]:
        """Return the loss under `loss`, and its parts under names of their own."""

    def validate(self) -> dict[str, float]:
        """Return the validation loss under `loss`, and its parts."""

    def images(self) -> dict[str, np.ndarray]:
        """Return pictures to look at, uint8 (H, W, 3), by name."""


@dataclass
class TrainingState:
    """Where a run is, besides the weights and the optimiser."""

    step: int = 0
    epoch: int = 0
    batch: int = 0
    """Batches of the epoch that are done."""
    seconds: float = 0.0
    examples: int = 0
    best_loss: float = float("inf")
    best_step: int = 0
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    """The last validation."""


def train(
    task: Task,
    settings: Training,
    *,
    seed: int,
    folder: Path,
    resume: ResumeFolder,
    save_interval_minutes: float,
) -> TrainingState:
    """Train `task.module` in place, from where an earlier run of the same training stopped.

    Args:
        task: What is trained, on what.
        settings: Steps, batch size, rate, schedule, clipping.
        seed: Seed of dropout (data order and noise are the task's).
        folder: Folder for TensorBoard's files.
        resume: Where the run keeps what it resumes from.
        save_interval_minutes: How often that is written, besides each epoch's end.

    Returns:
        The state at the end, with the best weights; the module holds the last ones.

    Raises:
        ValueError: If the loss or a gradient stops being finite.
    """
    optimizer = make_optimizer(task.module, settings)
    state = TrainingState()
    stored = resume.read()
    if stored is not None:
        task.module.load_state_dict(stored["weights"])
        optimizer.load_state_dict(stored["optimizer"])
        state = TrainingState(**stored["state"])
        logger.info("going on from step %d", state.step)

    steps_per_epoch = len(task.plan(0))
    num_steps = settings.num_steps or (settings.num_epochs or 1) * steps_per_epoch
    if state.step >= num_steps:
        logger.info("the training is complete already; writing its results again")
        return state
    writer = SummaryWriter(str(folder), purge_step=state.step if state.step else None)
    bar = progress(description="training", unit="step", total=num_steps, initial=state.step)
    clock = _Clock(state)
    with writer, bar:
        while state.step < num_steps:
            plan = task.plan(state.epoch)
            task.module.train()
            for batch in task.read(plan[state.batch :]):
                rate = learning_rate(
                    state.step,
                    target=settings.learning_rate,
                    warmup_steps=settings.warmup_steps,
                    scheduler_steps=_scheduler_steps(settings, num_steps),
                    warmup_epochs=settings.warmup_epochs,
                    steps_per_epoch=steps_per_epoch,
                )
                torch.manual_seed(derived_seed(seed, "dropout", state.step))
                losses, norm = train_step(
                    task, batch, state.epoch, optimizer, rate, settings.gradient_clip
                )
                is_last = state.batch + 1 == len(plan) or state.step + 1 == num_steps
                due = state.step % LOG_EVERY_STEPS == 0 or is_last
                if due or norm.device.type == "cpu":  # reading a value makes a GPU wait
                    values = {name: value.item() for name, value in losses.items()}
                    _check_finite(values, norm.item(), state, rate, resume)
                if due:
                    _log(writer, "train", {**values, "gradient_norm": norm.item()}, state.step)
                    writer.add_scalar("train/learning_rate", rate, state.step)
                    bar.set_postfix_str(
                        f"loss {values['loss']:.4g}, {clock.examples_per_second():.0f} videos/s",
                        refresh=False,
                    )
                state.step += 1
                state.batch += 1
                state.examples += len(batch[0])
                bar.update()
                if state.step == num_steps:
                    break
                if due and clock.minutes_since_save() >= save_interval_minutes:
                    _save(resume, task.module, optimizer, state, clock)
            _finish_epoch(task, state, writer, at_end=state.step == num_steps)
            if state.batch == len(plan):
                state.epoch, state.batch = state.epoch + 1, 0
            _save(resume, task.module, optimizer, state, clock)
    logger.info("trained %d steps in %.0f s", state.step, state.seconds)
    return state


def make_optimizer(module: nn.Module, settings: Training) -> torch.optim.Optimizer:
    """Return Adam over the parameters that need a gradient (AdamW's decay, which may be 0)."""
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    return torch.optim.AdamW(
        parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
    )


def train_step(
    task: Task,
    batch: Batch,
    epoch: int,
    optimizer: torch.optim.Optimizer,
    rate: float,
    gradient_clip: float | None,
) -> tuple[dict[str, Tensor], Tensor]:
    """Take one optimiser step; return the losses and the norm of the gradients before clipping."""
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad()
    losses = task.losses(batch, epoch)
    losses["loss"].backward()
    limit = gradient_clip if gradient_clip is not None else float("inf")
    norm = nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], limit)
    optimizer.step()
    return {name: value.detach() for name, value in losses.items()}, norm


def _scheduler_steps(settings: Training, num_steps: int) -> int | None:
    if settings.schedule == "constant":
        return None
    return settings.scheduler_steps or max(num_steps - settings.warmup_steps, 1)


def _finish_epoch(task: Task, state: TrainingState, writer: SummaryWriter, at_end: bool) -> None:
    """Validate, keep the best weights, and draw."""
    task.module.eval()
    with torch.no_grad():
        state.metrics = task.validate()
        for name, image in task.images().items():
            writer.add_image(name, image, state.step, dataformats="HWC")
    _log(writer, "validation", state.metrics, state.step)
    if state.metrics["loss"] < state.best_loss:
        state.best_loss, state.best_step = state.metrics["loss"], state.step
        state.best_weights = copy.deepcopy(dict(task.module.state_dict()))
    log = logger.info if at_end else logger.debug
    log("step %d: validation loss %.6g", state.step, state.metrics["loss"])


def _check_finite(
    values: dict[str, float], norm: float, state: TrainingState, rate: float, resume: ResumeFolder
) -> None:
    if np.isfinite([*values.values(), norm]).all():
        return
    parts = ", ".join(f"{name} {value:.6g}" for name, value in values.items())
    last_good = f"; what it can resume from is in {resume.folder}" if resume.exists() else ""
    raise ValueError(
        f"the training stopped being finite at step {state.step}: {parts}, gradient norm "
        f"{norm:.6g}, learning rate {rate:.3g}; a lower learning_rate, a longer warmup_steps or a "
        f"smaller gradient_clip usually helps{last_good}"
    )


def _log(writer: SummaryWriter, group: str, values: dict[str, float], step: int) -> None:
    for name, value in values.items():
        writer.add_scalar(f"{group}/{name}", value, step)


def _save(
    resume: ResumeFolder,
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    state: TrainingState,
    clock: "_Clock",
) -> None:
    clock.saved(state)
    resume.write(
        {
            "weights": module.state_dict(),
            "optimizer": optimizer.state_dict(),
            "state": vars(state),
        }
    )


class _Clock:
    """Measures throughput, time since the last save, and the run's whole time."""

    def __init__(self, state: TrainingState):
        self._state = state
        self._start = self._last_save = time.monotonic()
        self._examples_before, self._seconds_before = state.examples, state.seconds

    def examples_per_second(self) -> float:
        elapsed = max(time.monotonic() - self._start, 1e-9)
        return (self._state.examples - self._examples_before) / elapsed

    def minutes_since_save(self) -> float:
        return (time.monotonic() - self._last_save) / 60.0

    def saved(self, state: TrainingState) -> None:
        self._last_save = time.monotonic()
        state.seconds = self._seconds_before + self._last_save - self._start

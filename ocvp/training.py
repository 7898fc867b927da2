"""The training loop of SAVi and of the predictors.

One step: rate, forward and backward, clip, step, log. After each epoch: validate, keep the best
weights, draw images, write what the run resumes from.
"""

import contextlib
import copy
import logging
import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from ocvp.config_models import Training
from ocvp.files import check_writable
from ocvp.interruption import held_signals
from ocvp.program import progress
from ocvp.randomness import derived_seed
from ocvp.resume import ResumeFolder
from ocvp.schedule import learning_rate
from ocvp.training_log import TrainingLog
from ocvp.windows import Window

logger = logging.getLogger(__name__)

LOG_EVERY_STEPS = 10
"""Steps between two points of a training curve (and between checks for NaN on a GPU)."""

NUM_DRAWN_EPOCHS = 50
"""About how many epochs of a training get pictures."""

SPACE_FACTOR = 10
"""Space for a training, in times its weights: twice weights, best ones and Adam's two moments (the
resume folder's state, old and new), and both products."""

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
    """Optimiser steps that are done."""
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
    validated_step: int = -1
    """The step of the last validation."""


def train(
    task: Task,
    settings: Training,
    *,
    seed: int,
    folder: Path,
    resume: ResumeFolder,
    save_interval_minutes: float,
    description: str = "training",
) -> TrainingState:
    """Train `task.module` in place, from where an earlier run of the same training stopped.

    Ctrl-C and a termination signal wait for the end of a step, and what is done is kept.

    Args:
        task: What is trained, on what.
        settings: Steps, batch size, rate, schedule, clipping.
        seed: Seed of dropout (data order and noise are the task's).
        folder: Folder for TensorBoard's files.
        resume: Where the run keeps what it resumes from.
        save_interval_minutes: How often that is written, besides each epoch's end.
        description: What the progress bar says.

    Returns:
        The state at the end, with the best weights; the module holds the last ones.

    Raises:
        ValueError: If the loss or a gradient stops being finite, or the resume folder is damaged.
        OSError: If TensorBoard's files or the resume folder cannot be written.
    """
    optimizer = make_optimizer(task.module, settings)
    state = _restore(resume, task.module, optimizer)
    num_steps = settings.num_steps or (settings.num_epochs or 1) * len(task.plan(0))
    if state.step >= num_steps and state.validated_step == state.step:
        logger.info("the training is complete already; writing its results again")
        return state
    weights = sum(tensor.nbytes for tensor in task.module.state_dict().values())
    check_writable(folder / "events", SPACE_FACTOR * weights)
    loop = _Loop(task, settings, optimizer, state, resume, seed, num_steps)
    bar = progress(description=description, unit="step", total=num_steps, initial=state.step)
    with bar, TrainingLog(folder, state.step) as log, loop.keeping_what_is_done():
        while state.step < num_steps or state.validated_step < state.step:
            plan = task.plan(state.epoch)
            task.module.train()
            for batch in task.read(plan[state.batch : state.batch + num_steps - state.step]):
                loop.step(batch, len(plan), log, bar)
                if loop.minutes_since_save() >= save_interval_minutes and loop.is_checked:
                    loop.save()
            loop.finish_epoch(len(plan), log, bar)
            loop.save()
    logger.info(
        "trained %d steps in %.0f s, validation loss %.6g (best %.6g at step %d)",
        *(state.step, state.seconds, state.metrics["loss"], state.best_loss, state.best_step),
    )
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


class _Loop:
    """The parts of the loop, and what they share."""

    def __init__(
        self,
        task: Task,
        settings: Training,
        optimizer: torch.optim.Optimizer,
        state: TrainingState,
        resume: ResumeFolder,
        seed: int,
        num_steps: int,
    ):
        self._task, self._settings, self._optimizer = task, settings, optimizer
        self._state, self._resume, self._seed, self._num_steps = state, resume, seed, num_steps
        self._steps_per_epoch = len(task.plan(0))
        self._start = self._last_save = time.monotonic()
        self._examples_before, self._seconds_before = state.examples, state.seconds
        self._saved_step = state.step
        self._loss: float | None = None
        self.is_checked = True
        """Whether the last step is known to be finite; on a GPU only some steps are looked at."""

    def step(self, batch: Batch, num_batches: int, log: TrainingLog, bar: progress) -> None:
        """Take one step, check it, and record it."""
        state = self._state
        rate = self._rate()
        torch.manual_seed(derived_seed(self._seed, "dropout", state.step))
        with held_signals():
            losses, norm = train_step(
                self._task, batch, state.epoch, self._optimizer, rate, self._settings.gradient_clip
            )
            state.step += 1
            state.batch += 1
            state.examples += len(batch[0])
            is_last = state.batch == num_batches or state.step == self._num_steps
            due = state.step == 1 or state.step % LOG_EVERY_STEPS == 0 or is_last
            self.is_checked = due or norm.device.type == "cpu"  # reading makes a GPU wait
            if self.is_checked:
                values = {name: value.item() for name, value in losses.items()}
                values["gradient_norm"] = norm.item()
                _check_finite(values, batch, f"step {state.step}, learning rate {rate:.3g}")
        if due:
            log.scalars("train", {**values, "learning_rate": rate}, state.step)
            self._loss = values["loss"]
            self._show(bar)
        bar.update()

    def finish_epoch(self, num_batches: int, log: TrainingLog, bar: progress) -> None:
        """Validate, keep the best weights, and draw."""
        state, module = self._state, self._task.module
        bar.set_postfix_str("validating")
        module.eval()
        with torch.no_grad():
            metrics = self._task.validate()
            _check_finite(metrics, None, f"the validation after step {state.step}")
            num_epochs = math.ceil(self._num_steps / self._steps_per_epoch)
            is_end = state.step == self._num_steps
            if is_end or state.epoch % max(num_epochs // NUM_DRAWN_EPOCHS, 1) == 0:
                log.images(self._task.images(), state.step)
        log.scalars("validation", metrics, state.step)
        with held_signals():
            state.metrics, state.validated_step = metrics, state.step
            if metrics["loss"] < state.best_loss:
                state.best_loss, state.best_step = metrics["loss"], state.step
                state.best_weights = copy.deepcopy(dict(module.state_dict()))
            if state.batch == num_batches:
                state.epoch, state.batch = state.epoch + 1, 0
        self._show(bar)
        logger.debug("step %d: validation loss %.6g", state.step, metrics["loss"])

    def save(self) -> None:
        """Write what the run resumes from."""
        self._last_save = time.monotonic()
        self._state.seconds = self._seconds_before + self._last_save - self._start
        self._resume.write(
            {
                "weights": self._task.module.state_dict(),
                "optimizer": self._optimizer.state_dict(),
                "state": vars(self._state),
            }
        )
        self._saved_step = self._state.step

    @contextlib.contextmanager
    def keeping_what_is_done(self) -> Iterator[None]:
        """Save before a signal ends the run: it comes between two steps."""
        try:
            yield
        except (KeyboardInterrupt, SystemExit):
            weights = self._task.module.state_dict().values()
            is_finite = all(bool(torch.isfinite(tensor).all()) for tensor in weights)
            if self._state.step > self._saved_step and is_finite:
                self.save()
            logger.info(
                "stopped after step %d of %d; the same command goes on from step %d",
                *(self._state.step, self._num_steps, self._saved_step),
            )
            raise

    def minutes_since_save(self) -> float:
        """Return the time since the state was last written."""
        return (time.monotonic() - self._last_save) / 60.0

    def _rate(self) -> float:
        settings = self._settings
        cosine_steps: int | None = None
        if settings.schedule == "cosine":
            rest = max(self._num_steps - settings.warmup_steps, 1)
            cosine_steps = settings.scheduler_steps or rest
        return learning_rate(
            self._state.step,
            target=settings.learning_rate,
            warmup_steps=settings.warmup_steps,
            scheduler_steps=cosine_steps,
            warmup_epochs=settings.warmup_epochs,
            steps_per_epoch=self._steps_per_epoch,
        )

    def _show(self, bar: progress) -> None:
        elapsed = max(time.monotonic() - self._start, 1e-9)
        throughput = (self._state.examples - self._examples_before) / elapsed
        losses = {"loss": self._loss, "val": self._state.metrics.get("loss")}
        parts = [f"{name} {loss:.4g}" for name, loss in losses.items() if loss is not None]
        bar.set_postfix_str(", ".join([*parts, f"{throughput:.0f} videos/s"]), refresh=False)


def _restore(
    resume: ResumeFolder, module: nn.Module, optimizer: torch.optim.Optimizer
) -> TrainingState:
    """Load weights and optimiser from the resume folder, and return where the run stopped."""
    stored = resume.read()
    if stored is None:
        return TrainingState()
    module.load_state_dict(stored["weights"])
    optimizer.load_state_dict(stored["optimizer"])
    state = TrainingState(**stored["state"])
    logger.info("going on from step %d", state.step)
    return state


def _check_finite(values: Mapping[str, float], batch: Batch | None, where: str) -> None:
    if all(math.isfinite(value) for value in values.values()):
        return
    parts = ", ".join(f"{name} {value:.6g}" for name, value in values.items())
    for name, field_ in (batch[1] if batch else {}).items():
        for window, values_ in zip(batch[0] if batch else [], field_, strict=True):
            if not torch.isfinite(values_).all():
                raise ValueError(
                    f"the training stopped being finite ({where}: {parts}), because {name} of "
                    f"video {window.video} are not finite in the file that was read; delete that "
                    "file and run the workflow again"
                )
    raise ValueError(
        f"the training stopped being finite ({where}: {parts}); a lower learning_rate, a longer "
        "warmup_steps or a smaller gradient_clip usually helps"
    )

"""The training loop of SAVi and of the predictors.

One step: rate, forward and backward, clip, step, log. After each epoch: validate, keep the best
weights, draw images, write what the run resumes from. Several processes go through the same steps,
each with its share of every batch.
"""

import contextlib
import copy
import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import torch
from torch import Tensor

from ocvp.batches.windows import Batch, Window
from ocvp.compute.process_group import Group
from ocvp.compute.randomness import derived_seed
from ocvp.config.entries import Training
from ocvp.config.tree import Runtime
from ocvp.models.precision import autocast, resolve_precision
from ocvp.runtime.environment import made_by
from ocvp.runtime.interruption import StopRequest
from ocvp.runtime.progress import progress
from ocvp.runtime.training_log import TrainingLog
from ocvp.training.faults import (
    NotFiniteError,
    PoisonError,
    describe_not_finite,
    describe_out_of_memory,
    describe_out_of_memory_in_validation,
    find_poison,
    is_finite,
    is_out_of_memory,
)
from ocvp.training.resume import ResumeFolder
from ocvp.training.saves import check_space, save
from ocvp.training.schedule import rate_of
from ocvp.training.state import TrainingState, load_state
from ocvp.training.step import Losses, make_optimizer, parts_of, train_step, validation_losses
from ocvp.training.task import Task

logger = logging.getLogger(__name__)

LOG_EVERY_STEPS = 10
"""Steps between two points of a training curve (and between looks at a GPU's losses)."""


def train(
    task: Task,
    settings: Training,
    runtime: Runtime,
    *,
    seed: int,
    folder: Path,
    resume: ResumeFolder | None,
    group: Group | None = None,
    description: str = "training",
) -> TrainingState:
    """Train `task.module` in place, from where an earlier run of the same training stopped.

    Ctrl-C and a termination signal wait for the end of a step, and what is done is kept.

    Args:
        task: What is trained, on what.
        settings: Steps, batch size, rate, schedule, clipping, precision.
        runtime: Accumulation, how often to save.
        seed: Seed of dropout (data order and noise are the task's).
        folder: Folder for TensorBoard's files.
        resume: Where the run keeps what it resumes from; None in processes that are not the first.
        group: The processes that train together; None: this one alone.
        description: What the progress bar says.

    Returns:
        The state at the end, with the best weights; the module holds the last ones.

    Raises:
        ValueError: If the loss or a gradient stops being finite, memory does not suffice, what the
            run resumes from is damaged, or it was trained for longer already.
        OSError: If TensorBoard's files or the resume folder cannot be written.
    """
    group = group or Group()
    optimizer = make_optimizer(task.module, settings, fused=runtime.fused_adam)
    state, stored = TrainingState(), group.share(resume.read() if resume else None)
    is_resumed = stored is not None
    if stored is not None:
        state = load_state(stored, task.module, optimizer)
    del stored  # else its copy of all weights stays in memory
    steps_per_epoch = len(task.plan(0))
    num_steps = settings.num_steps or (settings.num_epochs or 1) * steps_per_epoch
    if state.step > num_steps:
        raise ValueError(
            f"the training is to have {num_steps} steps, but {state.step} are done already; give "
            "at least that many, or do not extend"
        )
    if state.num_steps not in (0, num_steps):
        state.extended_from.append(state.num_steps)
    state.num_steps = num_steps
    if state.step == num_steps == state.validated_step:
        logger.info("the training is complete already; writing its results again")
        return state
    if is_resumed:
        logger.info("going on from step %d of %d", state.step, num_steps)
    if resume:
        check_space(folder, resume, task.module)
    log = TrainingLog(folder, state.step) if group.is_first else TrainingLog.disabled()
    loop = _Loop(
        task,
        settings,
        runtime,
        optimizer,
        state,
        resume,
        group,
        log,
        seed=seed,
        steps_per_epoch=steps_per_epoch,
        description=description,
    )
    with loop.bar, log, loop.naming_lack_of_memory():
        loop.run()
    state = loop.state
    logger.info(
        "trained %d steps in %.0f s, validation loss %.6g (best %.6g at step %d)",
        *(state.step, state.seconds, state.metrics["loss"], state.best_loss, state.best_step),
    )
    return state


class _Step(NamedTuple):
    """A step that was taken, and whose losses were not looked at yet."""

    step: int
    rate: float
    windows: list[Window]
    losses: dict[str, Tensor]
    """This process' share of them, and the norm of the gradients, which is the same in all."""
    is_due: bool
    """Whether it becomes a point of the curves."""


class _Loop:
    """The parts of the loop, and what they share."""

    def __init__(
        self,
        task: Task,
        settings: Training,
        runtime: Runtime,
        optimizer: torch.optim.Optimizer,
        state: TrainingState,
        resume: ResumeFolder | None,
        group: Group,
        log: TrainingLog,
        *,
        seed: int,
        steps_per_epoch: int,
        description: str,
    ):
        self._task, self._settings, self._runtime = task, settings, runtime
        self._optimizer, self._resume, self._group = optimizer, resume, group
        self._seed, self._log = seed, log
        self._device = next(task.module.parameters()).device
        self._precision = resolve_precision(settings.precision, self._device)
        self._losses = group.synchronised(Losses(task, self._precision), self._device)
        self._steps_per_epoch = steps_per_epoch
        self._stop = StopRequest(is_told=group.is_first)
        self._is_validating = False
        self._pending: list[_Step] = []
        self._begin(state)
        self.bar = progress(
            description=description,
            unit="step",
            total=state.num_steps,
            initial=state.step,
            is_shown=group.is_first,
            has_long_text=True,
        )

    def run(self) -> None:
        """Go through all epochs that are left."""
        if self.state.step == 0:
            self._save(is_milestone=True)  # what a first epoch that fails goes back to
        with self._stop:
            while not self._is_done:
                try:
                    self._run_epoch()
                except NotFiniteError as fault:
                    self._recover(fault)

    @contextlib.contextmanager
    def naming_lack_of_memory(self) -> Iterator[None]:
        """Turn an error for lack of memory into one that says what to change."""
        try:
            yield
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            if self._is_validating:  # all steps before it are whole
                self._save()
                text = describe_out_of_memory_in_validation(self._runtime, self._saved_step)
            else:
                steps = (self.state.step, self._saved_step)
                num = self._group.size
                text = describe_out_of_memory(self._settings, self._runtime, *steps, num)
            raise ValueError(f"{text} ({str(error).strip().splitlines()[0][:200]})") from error

    @property
    def _is_done(self) -> bool:
        state = self.state
        return state.step == state.num_steps == state.validated_step

    def _begin(self, state: TrainingState) -> None:
        """Go on from a state that was just made or loaded."""
        self.state = state
        self._saved_step = state.step
        self._start = self._last_save = time.monotonic()
        self._seconds_before, self._examples_before = state.seconds, state.examples
        self._loss: float | None = None
        session: dict[str, Any] = {"first_step": state.step + 1, "processes": self._group.size}
        session |= {"precision": self._precision, "made_by": made_by(self._device)}
        state.sessions.append(session)

    # --- an epoch ----------------------------------------------------------------------------

    def _run_epoch(self) -> None:
        state, task = self.state, self._task
        plan = task.plan(state.epoch)
        todo = plan[state.batch : state.batch + state.num_steps - state.step]
        parts = [
            parts_of(windows, self._group, self._runtime.accumulation_steps) for windows in todo
        ]
        task.module.train()
        batches = iter(task.read([part for some, _ in parts for part in some]))
        for windows, (mine, weights) in zip(todo, parts, strict=True):
            self._step(batches, mine, weights, len(windows), len(plan))
            self._stop_or_save()
        del batches  # and with it the processes that read them
        self._is_validating = True
        self._finish_epoch(len(plan))
        self._is_validating = False
        self._save(is_milestone=True)

    def _step(
        self,
        batches: Iterator[Batch],
        parts: Sequence[Sequence[Window]],
        weights: Sequence[float],
        num_windows: int,
        num_batches: int,
    ) -> None:
        """Take one step, and look at its losses where that costs nothing or is due."""
        state, rate = self.state, self._rate()
        rank = [self._group.rank] if self._group.rank else []
        torch.manual_seed(derived_seed(self._seed, "dropout", state.step, *rank))
        losses, norm = train_step(
            self._losses,
            batches,
            weights,
            state.epoch,
            self._optimizer,
            rate,
            self._settings.gradient_clip,
            self._group.size,
        )
        state.step += 1
        state.batch += 1
        state.examples += num_windows
        is_last = state.batch == num_batches or state.step == state.num_steps
        is_due = state.step == 1 or state.step % LOG_EVERY_STEPS == 0 or is_last
        windows = [window for part in parts for window in part]
        losses |= {"gradient_norm": norm}
        self._pending.append(_Step(state.step, rate, windows, losses, is_due))
        if is_due or self._device.type == "cpu":
            self._look()
        self.bar.update()

    def _look(self) -> None:
        """Read the losses of the last steps, check and log them; reading makes a GPU wait."""
        steps, self._pending = self._pending, []
        if not steps:
            return
        names = list(steps[0].losses)
        rows = torch.stack([torch.stack([step.losses[name] for name in names]) for step in steps])
        every = self._group.collect(rows.tolist())
        for index, step in enumerate(steps):
            shares = [dict(zip(names, own[index], strict=True)) for own in every]
            values = {name: sum(share[name] for share in shares) for name in names}
            values["gradient_norm"] = shares[0]["gradient_norm"]
            if not is_finite(values):
                where = f"step {step.step}, learning rate {step.rate:.3g}"
                text = describe_not_finite(values, where)
                self._refuse(text, self._task.read([step.windows]))
            if step.is_due:
                self._log.scalars("train", {**values, "learning_rate": step.rate}, step.step)
                self._loss = values["loss"]
        self._show()

    def _finish_epoch(self, num_batches: int) -> None:
        """Validate, keep the best weights, and draw."""
        state, module = self.state, self._task.module
        self.bar.set_postfix_str("validating")
        module.eval()
        with torch.no_grad(), autocast(self._precision, self._device):
            metrics = validation_losses(self._task, self._group, self._stop_if_asked)
            if not is_finite(metrics):
                where = f"the validation after step {state.step}"
                batches = self._task.read_validation(self._task.validation_plan())
                self._refuse(describe_not_finite(metrics, where), batches)
        if self._group.is_first:
            self._log.images(self._task.images(), state.step)
        self._log.scalars("validation", metrics, state.step)
        state.metrics, state.validated_step = metrics, state.step
        if metrics["loss"] < state.best_loss:
            state.best_loss, state.best_step = metrics["loss"], state.step
            state.best_weights = copy.deepcopy(dict(module.state_dict()))
        if state.batch == num_batches:
            state.epoch, state.batch = state.epoch + 1, 0
        self._show()
        logger.debug("step %d: validation loss %.6g", state.step, metrics["loss"])

    # --- faults, stops and saves -----------------------------------------------------------------

    def _refuse(self, text: str, batches: Iterable[Batch]) -> NoReturn:
        """Stop for values that are not finite, naming the sample if one is to blame."""
        poison = next(filter(None, (find_poison(*batch) for batch in batches)), "")
        poisons = [found for found in self._group.collect(poison) if found]
        if poisons:
            raise PoisonError(f"{text}, because {poisons[0]}")
        raise NotFiniteError(text)

    def _recover(self, fault: NotFiniteError) -> None:
        """Go back to the end of an epoch, with a lower rate, as often as the config allows."""
        settings = self._settings
        good = "nothing was saved before"
        if self._resume and self._resume.exists():
            good = f"the last good state, of step {self._saved_step}, is in {self._resume.folder}"
        if self.state.recoveries >= settings.recoveries:
            tried = f", after {settings.recoveries} recoveries" if settings.recoveries else ""
            raise NotFiniteError(
                f"{fault}{tried}; {good}; with a larger training.recoveries the same command goes "
                "back to the end of an epoch, and on with a lower rate; a lower learning_rate, a "
                "longer warmup_steps or a smaller gradient_clip are another training"
            ) from None
        stored = self._group.share(self._resume.read_milestone() if self._resume else None)
        if stored is None:
            raise NotFiniteError(f"{fault}; there is no state to go back to") from None
        state = load_state(stored, self._task.module, self._optimizer)
        state.recoveries += 1
        state.rate_factor *= settings.recovery_factor
        logger.log(
            logging.WARNING if self._group.is_first else logging.DEBUG,
            "%s; going back to step %d, with %g times the learning rate (recovery %d of %d)",
            *(fault, state.step, state.rate_factor, state.recoveries, settings.recoveries),
        )
        self._begin(state)
        self._log.restart(state.step)
        self.bar.go_back(state.step)
        self._save(is_milestone=True)

    def _stop_or_save(self) -> None:
        """Between two steps: obey a signal, or save where it is time. All processes agree on it."""
        minutes = (time.monotonic() - self._last_save) / 60.0
        is_time = self._group.is_first and minutes >= self._runtime.save_interval_minutes
        is_stopped, is_time = self._group.agree(self._stop.is_made, is_time)
        if is_stopped:
            self._end_early()
        elif is_time:
            self._save()

    def _stop_if_asked(self) -> None:
        """Between two batches of the validation: obey a signal."""
        if self._group.agree(self._stop.is_made)[0]:
            self._end_early()

    def _end_early(self) -> NoReturn:
        """Save what is done, and end as the signal asks."""
        if self.state.step > self._saved_step:
            self._save()
        self._group.barrier()  # whoever ends first has the launcher end the others
        logger.info(
            "stopped after step %d of %d; the same command goes on from step %d",
            *(self.state.step, self.state.num_steps, self._saved_step),
        )
        self._stop.obey()

    def _save(self, is_milestone: bool = False) -> None:
        """Write what the run resumes from; never what was not looked at."""
        self._look()
        self._last_save = time.monotonic()
        state = self.state
        seconds = self._last_save - self._start
        state.seconds = self._seconds_before + seconds
        state.sessions[-1] |= {"last_step": state.step, "seconds": round(seconds, 1)}
        if self._resume:
            save(self._resume, state, self._task.module, self._optimizer, self._log, is_milestone)
        self._saved_step = state.step

    # --- rate and display ------------------------------------------------------------------------

    def _rate(self) -> float:
        return rate_of(self._settings, self.state, self._steps_per_epoch)

    def _show(self) -> None:
        elapsed = max(time.monotonic() - self._start, 1e-9)
        throughput = (self.state.examples - self._examples_before) / elapsed
        values = {"loss": self._loss, "val": self.state.metrics.get("loss"), "lr": self._rate()}
        parts = [f"{name} {value:.3g}" for name, value in values.items() if value is not None]
        self.bar.set_postfix_str(", ".join([*parts, f"{throughput:.0f} videos/s"]), refresh=False)

"""The training loop of SAVi and of the predictors.

One step: rate, forward and backward, clip, step, log. After each epoch: validate where it
is due, keep the best weights, draw pictures, write what the run resumes from. Several processes go
through the same steps, each with its share of every batch.
"""

import contextlib
import copy
import logging
import time
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

import torch

from ocvp.batches.windows import Batch
from ocvp.compute.randomness import derived_seed
from ocvp.models.precision import autocast
from ocvp.runtime.environment import made_by
from ocvp.runtime.interruption import OverdueStopError, StopRequest, signals_to
from ocvp.training.faults import (
    NotFiniteError,
    check_losses,
    describe_out_of_memory,
    describe_out_of_memory_in_validation,
    is_out_of_memory,
)
from ocvp.training.report import Report, TakenStep
from ocvp.training.saves import check_space, save
from ocvp.training.schedule import rate_of
from ocvp.training.setup import Setup
from ocvp.training.state import TrainingState, load_state
from ocvp.training.step import (
    Losses,
    make_optimizer,
    parts_of,
    train_step,
    validation_losses,
)

logger = logging.getLogger(__name__)

LOG_EVERY_STEPS = 10
"""Steps between two points of a training curve (and between two readings of a GPU's losses)."""
LOOK_EVERY_STEPS = 100
"""Steps after which a validation has pictures, and scores beside them, again."""


def train(setup: Setup) -> TrainingState:
    """Train a task's module in place, from where an earlier run of the same training stopped.

    Ctrl-C and a termination signal wait for the end of a step, and what is done is kept.

    Returns:
        The state at the end, with the best weights; the module holds the last ones.

    Raises:
        ValueError: If the loss or a gradient stops being finite, memory does not suffice, what the
            run resumes from is damaged, or it was trained for longer already.
        OSError: If TensorBoard's files or the resume folder cannot be written.
    """
    # --- where the run stands ---------------------------------------------------------------------
    module, resume = setup.module, setup.resume
    optimizer = make_optimizer(module, setup.settings, fused=setup.runtime.fused_adam)
    state, stored = TrainingState(), setup.group.share(resume.read() if resume else None)
    if stored is not None:
        state = load_state(stored, module, optimizer)
    del stored  # else its copy of all weights stays in memory
    state.set_length(setup.num_steps)
    if state.is_complete:
        logger.info("the training is complete already; writing its results again")
        return state
    if state.sessions:  # earlier ones
        logger.info("going on from step %d of %d", state.step, state.num_steps)
    # --- what is left of it -----------------------------------------------------------------------
    if resume:
        check_space(setup.folder, resume, module)
    loop = _Loop(setup, optimizer, state)
    with loop.report.bar, loop.report.log, loop.naming_lack_of_memory():
        loop.run()
    state = loop.state  # another one, if the run went back
    parts = [f", {name} {value:.6g}" for name, value in state.metrics.items() if name != "loss"]
    logger.info(
        "trained %d steps in %.0f s, validation loss %.6g (best %.6g at step %d)%s",
        *(state.step, state.seconds, state.metrics["loss"], state.best_loss, state.best_step),
        "".join(parts),
    )
    return state


class _Loop:
    """The parts of the loop, and what they share."""

    def __init__(self, setup: Setup, optimizer: torch.optim.Optimizer, state: TrainingState):
        self._setup, self._optimizer = setup, optimizer
        self._task, self._group, self._resume = setup.task, setup.group, setup.resume
        self._losses = setup.group.synchronised(Losses(setup.task, setup.precision), setup.device)
        # All processes get the signal, and one speaks of it.
        self._stop = StopRequest(is_shown=setup.group.is_first)
        self._is_validating = False  # where the loop is, should memory not suffice
        self._was_doubted = False  # once in a session
        self._begin(state)
        self.report = Report(setup, state)

    def run(self) -> None:
        """Go through all epochs that are left."""
        with signals_to(self._stop.note):
            if self.state.step == 0:
                self._save(is_milestone=True)  # what a first epoch that fails goes back to
            while not self.state.is_complete:
                try:
                    self._run_epoch()
                except NotFiniteError as fault:
                    self._recover(fault)
                except OverdueStopError as reason:
                    self._give_up(reason)

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
                text = describe_out_of_memory_in_validation(self._setup, self._saved_step)
            else:
                text = describe_out_of_memory(self._setup, self.state.step, self._saved_step)
            # Its first line: torch may add where in its own code it stood.
            raise ValueError(f"{text} ({str(error).strip().splitlines()[0][:200]})") from error

    def _begin(self, state: TrainingState) -> None:
        """Go on from a state that was just made or loaded."""
        self.state = state
        self._saved_step = state.step  # what is on disk
        self._start = self._last_save = time.monotonic()
        self._seconds_before = state.seconds  # of earlier sessions
        session: dict[str, Any] = {"first_step": state.step + 1, "processes": self._group.size}
        session |= {"precision": self._setup.precision, "made_by": made_by(self._setup.device)}
        state.sessions.append(session)

    # --- an epoch --------------------------------------------------------------------------------

    def _run_epoch(self) -> None:
        state, task = self.state, self._task
        plan = task.plan(state.epoch)  # windows of each batch, over all processes
        todo = plan[state.batch : state.batch + state.num_steps - state.step]  # what is left of it
        num_parts = self._setup.runtime.accumulation_steps
        parts = [parts_of(windows, self._group, num_parts) for windows in todo]
        task.module.train()
        # One iteration over the parts of all steps, so that reading runs ahead of them.
        batches = task.read([part for some, _ in parts for part in some])
        for windows, (_, weights) in zip(todo, parts, strict=True):
            # The last one of the epoch, or of the training.
            self._step(batches, len(windows), weights, is_last=windows is todo[-1])
            self._stop_or_save()
        del batches  # and with it the processes that read them
        if self._is_validation_due():
            self._is_validating = True
            self._validate()
            self._is_validating = False
        if self.state.batch == len(plan):  # a run may end within an epoch, and be extended
            self.state.epoch, self.state.batch = self.state.epoch + 1, 0
        self._save(is_milestone=True)

    def _step(
        self, batches: Iterator[Batch], num_windows: int, weights: Sequence[float], is_last: bool
    ) -> None:
        """Take one step, and read its losses where that costs nothing or is due."""
        state, setup = self.state, self._setup
        rate = rate_of(setup.settings, state, setup.steps_per_epoch)
        # Of the first process as of one alone; the others draw for themselves.
        rank = [self._group.rank] if self._group.rank else []
        torch.manual_seed(derived_seed(setup.seed, "dropout", state.step, *rank))
        losses, norm = train_step(
            self._losses,
            batches,
            weights,
            state.epoch,
            self._optimizer,
            rate,
            setup.settings.gradient_clip,
            self._group.size,
        )
        state.step += 1
        state.batch += 1
        state.examples += num_windows
        is_due = state.step == 1 or state.step % LOG_EVERY_STEPS == 0 or is_last
        losses |= {"gradient_norm": norm}
        self.report.add(TakenStep(state.step, rate, losses, is_due))
        if is_due or setup.device.type == "cpu":
            self.report.read(state)

    def _is_validation_due(self) -> bool:
        """Whether this epoch passed a multiple of the interval, or the training is over.

        A function of the step, wherever the run was interrupted or extended.
        """
        state, interval = self.state, self._setup.settings.validation_interval
        return self._is_over() or (state.step - state.batch) // interval < state.step // interval

    def _validate(self) -> None:
        """Validate, keep the best weights, and draw."""
        state, module, task, log = self.state, self._task.module, self._task, self.report.log
        self.report.bar.set_postfix_str("validating")
        module.eval()
        with torch.no_grad(), autocast(self._setup.precision, self._setup.device):
            metrics = validation_losses(task, self._group, self._stop_if_asked)
            check_losses(metrics, f"the validation after step {state.step}")
            self._doubt()
        if self._group.is_first and self._is_look_due():
            # In the group of the curves: TensorBoard opens only the first two of its page.
            drawn = {f"validation/{name}": picture for name, picture in task.images().items()}
            log.images(drawn, state.step)
            log.scalars("validation", task.scores(), state.step)
        log.scalars("validation", metrics, state.step)
        state.metrics, state.validated_step = metrics, state.step
        if metrics["loss"] < state.best_loss:
            state.best_loss, state.best_step = metrics["loss"], state.step
            # A copy: the next steps change the module's own in place.
            state.best_weights = copy.deepcopy(dict(module.state_dict()))
        self.report.show(state)
        logger.debug("step %d: validation loss %.6g", state.step, metrics["loss"])

    def _is_look_due(self) -> bool:
        """Whether this validation has pictures and scores: the first, the last, some between."""
        every, state = LOOK_EVERY_STEPS, self.state
        return self._is_over() or state.validated_step // every < state.step // every

    def _is_over(self) -> bool:
        """Whether all steps are done."""
        return self.state.step == self.state.num_steps

    def _doubt(self) -> None:
        """Warn once, from half of the steps on, where what was learned is not what was meant."""
        state = self.state
        if self._was_doubted or 2 * state.step < state.num_steps or not self._group.is_first:
            return
        if doubts := self._task.doubts(state.epoch):
            logger.warning("step %d of %d: %s", state.step, state.num_steps, doubts)
            self._was_doubted = True

    # --- faults, stops and saves -----------------------------------------------------------------

    def _recover(self, fault: NotFiniteError) -> None:
        """Go back to the end of an epoch, with a lower rate, as often as the config allows."""
        settings = self._setup.settings
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
        # The first process reads the disk for all.
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
        self.report.go_back(state)
        self._save(is_milestone=True)  # else a restart would forget the lower rate

    def _stop_or_save(self) -> None:
        """Between two steps: obey a signal, or save where it is time. All processes agree on it."""
        minutes = (time.monotonic() - self._last_save) / 60.0
        # Clocks differ: the first process' counts.
        is_time = self._group.is_first and minutes >= self._setup.runtime.save_interval_minutes
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
        logger.log(
            logging.WARNING if self._group.is_first else logging.DEBUG,
            "stopped after step %d of %d; the same command goes on from step %d",
            *(self.state.step, self.state.num_steps, self._saved_step),
        )
        self._stop.obey()

    def _give_up(self, reason: OverdueStopError) -> NoReturn:
        """End within a step that waits in vain, as a signal asks; the steps before it are whole."""
        logger.warning("%s; the step that waits for it is given up", reason)
        if self._group.size > 1:  # the others are within it too, and agree on nothing there
            self._stop.obey()
        self._end_early()

    def _save(self, is_milestone: bool = False) -> None:
        """Write what the run resumes from; never what was not read and found finite."""
        state = self.state
        self.report.read(state)
        self._last_save = time.monotonic()
        seconds = self._last_save - self._start
        state.seconds = self._seconds_before + seconds
        state.sessions[-1] |= {"last_step": state.step, "seconds": round(seconds, 1)}
        if self._resume:
            log = self.report.log
            save(self._resume, state, self._task.module, self._optimizer, log, is_milestone)
        self._saved_step = state.step

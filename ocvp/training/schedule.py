"""The learning rate as a pure function of the step: resuming needs no state of a scheduler."""

import math

from ocvp.config.entries import Training
from ocvp.training.state import TrainingState


def rate_of(settings: Training, state: TrainingState, steps_per_epoch: int) -> float:
    """Return the learning rate of the next step."""
    cosine_steps: int | None = None
    if settings.schedule == "cosine":
        # Over the whole run by default: an extended one then has another rate.
        rest = max(state.num_steps - settings.warmup_steps, 1)
        cosine_steps = settings.scheduler_steps or rest
    rate = learning_rate(
        state.step,
        target=settings.learning_rate,
        warmup_steps=settings.warmup_steps,
        scheduler_steps=cosine_steps,
        warmup_epochs=settings.warmup_epochs,
        steps_per_epoch=steps_per_epoch,
    )
    return rate * state.rate_factor  # below 1 after a recovery


def learning_rate(
    step: int,
    *,
    target: float,
    warmup_steps: int,
    scheduler_steps: int | None,
    warmup_epochs: int | None = None,
    steps_per_epoch: int | None = None,
) -> float:
    """Return the rate of one optimiser step: linear warm-up, then cosine annealing to 0.

    Step s of the warm-up has the rate target * s / warmup_steps, up to and including
    s = warmup_steps. The step after the warm-up keeps the target, and the cosine counts from it.
    Past scheduler_steps the cosine rises again, as torch's CosineAnnealingLR does.

    Args:
        step: Number of the step, counted from 0.
        target: Rate at the end of the warm-up.
        warmup_steps: Steps of the warm-up; 0 for none.
        scheduler_steps: Steps in which the cosine falls from target to 0 (torch's T_max);
            None keeps the target.
        warmup_epochs: Epochs after which the warm-up ends even if warmup_steps are not reached.
        steps_per_epoch: Steps of an epoch; needed with warmup_epochs.

    Raises:
        ValueError: If warmup_epochs is given without steps_per_epoch, or a number is out of range.
    """
    if step < 0 or warmup_steps < 0:
        raise ValueError(f"step is {step} and warmup_steps {warmup_steps}; neither may be negative")
    if scheduler_steps is not None and scheduler_steps < 1:
        raise ValueError(f"scheduler_steps is {scheduler_steps}; it must be at least 1, or None")
    # The first step that is no longer of the warm-up, from which the cosine counts.
    first_after = warmup_steps + 1 if warmup_steps > 0 else 0
    if warmup_epochs is not None:
        if steps_per_epoch is None:
            raise ValueError(f"warmup_epochs is {warmup_epochs}: steps_per_epoch is needed with it")
        first_after = min(first_after, warmup_epochs * steps_per_epoch)
    if step < first_after:
        return target * step / warmup_steps
    if scheduler_steps is None:
        return target
    return target * (1.0 + math.cos(math.pi * (step - first_after) / scheduler_steps)) / 2.0

"""What goes wrong in a training: values that are not finite, and memory that does not suffice."""

import math
from collections.abc import Mapping

import torch

from ocvp.config.predictors import PredictorTraining
from ocvp.config.savi import SaviTraining
from ocvp.training.setup import Setup

CPU_SAYS = ("can't allocate memory", "could not create a primitive", "std::bad_alloc")
"""What torch's allocator on the CPU, oneDNN and C++ say where memory does not suffice."""


class NotFiniteError(ValueError):
    """A loss or a gradient is NaN or infinite."""

    is_agreed = True
    """All processes raise it; the first one reports it."""


def check_losses(losses: Mapping[str, float], where: str) -> None:
    """Check that losses are finite. What was read is: `ocvp.batches.stored_field` sees to that.

    Args:
        losses: Losses and norms of gradients, by name, over all processes.
        where: Where in the training they stand.

    Raises:
        NotFiniteError: If one is not.
    """
    if not all(map(math.isfinite, losses.values())):
        parts = ", ".join(f"{name} {value:.6g}" for name, value in losses.items())
        raise NotFiniteError(f"the training stopped being finite ({where}: {parts})")


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error means that memory, of the GPU or of the machine, does not suffice."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in CPU_SAYS)


def describe_out_of_memory(setup: Setup, step: int, saved_step: int) -> str:
    """Say what takes the memory of a training, and what to change.

    Args:
        setup: What is trained, and how.
        step: Steps that are done.
        saved_step: Steps that are saved.
    """
    settings, parts = setup.settings, setup.runtime.accumulation_steps
    length, keys = "", "training.batch_size"
    if isinstance(settings, SaviTraining):
        length, keys = f", training.clip_length {settings.clip_length}", f"{keys} or clip_length"
    if isinstance(settings, PredictorTraining):
        length = f", training.num_context {settings.num_context}, num_preds {settings.num_preds}"
        keys = f"{keys}, num_context or num_preds"
    return (
        f"out of memory in step {step + 1} (training.batch_size {settings.batch_size}{length}, "
        f"runtime.accumulation_steps {parts}, {setup.group.size} processes). A larger "
        f"runtime.accumulation_steps, {2 * parts} for example, needs less for the same training, "
        f"which then goes on from step {saved_step}; runtime.residency: disk leaves the data on "
        f"disk; a smaller {keys} is another training"
    )


def describe_out_of_memory_in_validation(setup: Setup, saved_step: int) -> str:
    """Say what takes the memory of a validation, and what to change."""
    return (
        f"out of memory in the validation after step {saved_step} (runtime.batch_videos "
        f"{setup.runtime.batch_videos}); a smaller runtime.batch_videos needs less, and the "
        "training goes on with that validation"
    )

"""The validation of a training, which several processes divide among them."""

import math
from collections.abc import Callable

from torch import Tensor

from ocvp.compute.process_group import Group
from ocvp.training.task import Task


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
    numbers = range(group.rank, len(plan), group.size)
    batches = iter(task.read_validation([plan[number] for number in numbers]))
    found: list[tuple[int, dict[str, Tensor]]] = []
    for turn in range(math.ceil(len(plan) / group.size)):
        if turn < len(numbers):
            found.append((numbers[turn], task.validation_losses(next(batches))))
        between()
    # Read at the end only: reading makes a GPU wait.
    own = [(number, {k: v.item() for k, v in losses.items()}) for number, losses in found]
    totals: dict[str, float] = {}
    for number, losses in sorted((row for rows in group.collect(own) for row in rows), key=_number):
        for name, value in losses.items():
            totals[name] = totals.get(name, 0.0) + value * len(plan[number])
    num_windows = sum(map(len, plan))
    return {name: total / num_windows for name, total in totals.items()}


def _number(row: tuple[int, dict[str, float]]) -> int:
    return row[0]

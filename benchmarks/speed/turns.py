"""Several ways of the same work in turns, A B A B, so that a busy moment meets all of them."""

import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from speed.asking import Asked, Job, Measured, WorkError, environment, last_line
from speed.subject import Subject

FIRST_STEP = "first_step"
STARTED = 77
"""The exit status of `speed.first_step` where a training reaches its first batch."""
TOLERANCE = 1e-4
"""How far the figures of several ways may be apart, of the larger one."""


def take_turns(
    jobs: Mapping[str, Job], rounds: int, least_seconds: float, is_counted: bool = True
) -> dict[str, Measured]:
    """Measure several jobs, one after the other in each round.

    Args:
        jobs: Label to job.
        rounds: Turns of each.
        least_seconds: How long a turn takes at least; short work is done several times in it.
        is_counted: Whether operations and bytes are counted too.

    Returns:
        Label to what was found; a job that fails has its reason there, and the others go on.
    """
    if any(job.name == FIRST_STEP for job in jobs.values()):
        return first_steps(jobs, rounds)
    steps = [Asked.begin, lambda process: process.warm_up(least_seconds)]
    steps += [Asked.turn] * rounds + [lambda process: process.finish(is_counted)]
    with contextlib.ExitStack() as stack:
        # They start side by side; from then on one works while the others wait.
        asked = {label: stack.enter_context(Asked(job)) for label, job in jobs.items()}
        for step in steps:
            for process in asked.values():
                process.attempt(step)
    return {label: process.measured for label, process in asked.items()}


def first_steps(jobs: Mapping[str, Job], rounds: int) -> dict[str, Measured]:
    """Measure, in turns, the time from the command to the first batch of a training."""
    found = {label: Measured(num_clips=1) for label in jobs}
    for _ in range(rounds):
        for label, job in jobs.items():
            if found[label].reason is None:
                try:
                    found[label].seconds.append(first_step(job))
                except WorkError as error:
                    found[label].reason = str(error)
    return found


def first_step(job: Job) -> float:
    """Start a training of SAVi, at the batch size of its config, and return the seconds.

    Raises:
        WorkError: If it ends otherwise than with its first batch.
    """
    subject = Subject.load(job.folder)
    runtime = {"device": subject.device, "compile": subject.compile}
    data, validation = (str(job.folder / f"{name}.h5") for name in ("dataset", "validation"))
    with tempfile.TemporaryDirectory(dir=job.folder) as output:
        words = [sys.executable, "-m", "speed.first_step", "--config", json.dumps(subject.savi)]
        words += ["--runtime", json.dumps(runtime), "--train", data, "--val", validation]
        words += ["--output", str(Path(output) / "savi.pt")]
        start = time.monotonic()
        done = subprocess.run(
            words,
            cwd=job.folder,
            env=environment(job.project),
            capture_output=True,
            text=True,
            check=False,
        )
        seconds = time.monotonic() - start
    if done.returncode != STARTED:
        said = last_line(done.stderr)
        raise WorkError(f"train_savi ended with status {done.returncode}: {said}")
    return seconds


def best_rates(folder: Path, quick: bool) -> dict[str, float]:
    """Return the machine's best rates (see `speed.ceilings`).

    Raises:
        WorkError: If they cannot be measured.
    """
    with Asked(Job(folder, "ceilings")) as process:
        process.answer()
        return process.ask("ceilings", is_quick=quick)


def disagreement(found: Mapping[str, Measured]) -> str:
    """Return the figures of several ways, where they differ; else nothing."""
    checks = {label: one.check for label, one in found.items() if one.check is not None}
    if not checks:
        return ""
    least, most = min(checks.values()), max(checks.values())
    if most - least <= TOLERANCE * max(abs(least), abs(most)):
        return ""
    return ", ".join(f"{label} {value:.8g}" for label, value in checks.items())

"""A process that does one piece of work in one way, and what it is asked.

The ways are this project's, the plain one, and those of other versions of the project. A process
that does nothing else has the peak memory of that work.
"""

import contextlib
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self

from speed.subject import PROJECT

BENCHMARKS = Path(__file__).resolve().parents[1]
SECONDS_TO_END = 10.0


class Job(NamedTuple):
    """One way to do one piece of work."""

    folder: Path
    """Of the subject and its files."""
    name: str
    way: str = "ours"
    """`ours` or `plain`."""
    project: Path = PROJECT
    """The version of the project."""


@dataclass
class Measured:
    """What was found of one job."""

    seconds: list[float] = field(default_factory=list)
    """Of each turn."""
    operations: int | None = None
    num_bytes: int | None = None
    peak_bytes: int | None = None
    bytes_before: int | None = None
    """Memory before the work was there: Python, torch and this package."""
    num_clips: int | None = None
    check: float | None = None
    """A figure that all ways of the same work have."""
    reason: str | None = None
    """Why it was not measured."""


class WorkError(Exception):
    """A process cannot do its work; says why."""


class Asked:
    """A process that does a job whenever it is asked, and what was found of it."""

    def __init__(self, job: Job) -> None:
        self.measured = Measured()
        self._job = job
        self._calls = 1  # of a turn
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 - see __exit__
        words = [sys.executable, "-m", "speed.worker", job.folder, job.name, job.way]
        self._process = subprocess.Popen(
            [str(word) for word in words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            cwd=job.folder,  # nothing lies there that could be imported
            env=environment(job.project),
        )

    def attempt(self, step: Callable[["Asked"], None]) -> None:
        """Take a step, unless an earlier one failed."""
        if self.measured.reason is None:
            try:
                step(self)
            except WorkError as error:
                self.measured.reason = str(error)

    def begin(self) -> None:
        """Wait for the work to be there, and check what does it."""
        ready = self.answer()
        if not Path(ready["package"]).is_relative_to(self._job.project):
            raise WorkError(f"it uses {ready['package']}, not {self._job.project}")
        self.measured.num_clips = ready["num_clips"]
        self.measured.check = self.ask("check")["check"]

    def warm_up(self, least_seconds: float) -> None:
        """Do the work a little, and see how often it fits into a turn."""
        seconds = self.ask("run", calls=1)["seconds"]
        if seconds < least_seconds:  # the first time takes longer than others
            seconds = self.ask("run", calls=1)["seconds"]
        self._calls = max(1, math.ceil(least_seconds / seconds))

    def turn(self) -> None:
        """Do the work for a turn."""
        self.measured.seconds.append(self.ask("run", calls=self._calls)["seconds"])

    def finish(self, is_counted: bool) -> None:
        """Ask for the memory, and have operations and bytes counted, which takes more of it."""
        vars(self.measured).update(self.ask("memory"))
        if is_counted:
            vars(self.measured).update(self.ask("count"))

    def ask(self, action: str, **options: Any) -> dict[str, Any]:
        """Ask for something, and wait for the answer.

        Raises:
            WorkError: If there is none, or it is an error.
        """
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has ended: the answer says so
            print(json.dumps({"action": action, **options}), file=self._process.stdin, flush=True)
        return self.answer()

    def answer(self) -> dict[str, Any]:
        """Wait for the next answer (see `ask`)."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._errors.seek(0)
            raise WorkError(f"its process ended: {last_line(self._errors.read())}")
        found = json.loads(line)
        if "error" in found:
            raise WorkError(found["error"])
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._errors):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


def environment(project: Path) -> dict[str, str]:
    """Return the environment of a process that is to use a version of the project."""
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(project), str(BENCHMARKS)])}


def last_line(text: str) -> str:
    """Return the last line of what a process said."""
    return (text.strip().splitlines() or ["it said nothing"])[-1]

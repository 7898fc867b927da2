"""A process that does one piece of work as often as it is asked.

    python -m speed.worker FOLDER NAME ours|plain

`speed.asking` starts it, with the package `ocvp` of some version of the project on its path.
Requests come as lines of JSON on its standard input, answers go to its standard output.
"""

import ocvp  # noqa: I001 - before torch: it sets what torch's threads read

import contextlib
import functools
import json
import os
import re
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from speed.ceilings import ceilings, seconds_of
from speed.subject import Subject, savi_stage

from ocvp.compute.device import prepare_device, set_tf32
from ocvp.models.precision import resolve_precision

PROCESS = Path("/proc/self/status")
"""Where Linux has a process' own peak memory: ru_maxrss counts what started it, too."""
CEILINGS = "ceilings"
"""The name of what is no work: the machine's best rates."""


class Served:
    """The work of this process, and what it answers."""

    def __init__(self, folder: Path, name: str, way: str):
        self.subject = Subject.load(folder)
        self.device = prepare_device(self.subject.device, self.subject.num_threads)
        self._tf32 = way == "ours" and savi_stage(self.subject).training.tf32
        if name == CEILINGS:
            set_tf32(self._tf32)
            return
        # Here: another version of the project may lack what these import.
        from speed.work import Given, work_of

        make = work_of
        if way == "plain":
            from speed.plain_work import plain_work_of

            make = plain_work_of
        load_all_of_torch()
        self._before = self._memory()
        self.work = make(Given(self.subject, folder, self.device), name)

    def ready(self) -> dict[str, Any]:
        """Say which package is measured."""
        return {"package": ocvp.__file__, "num_clips": self.work.num_clips}

    def check(self) -> dict[str, Any]:
        """Return the figure that other ways of the same work must have too, in full precision."""
        with self._eager():
            found = self.work.check()
        set_tf32(self._tf32)  # from now on, as in training
        return {"check": found}

    def run(self, calls: int) -> dict[str, Any]:
        """Do the work, and return the seconds of each time."""
        return {"seconds": seconds_of(self.work.run, self.device, calls)}

    def memory(self) -> dict[str, Any]:
        """Return the most bytes up to now, and those before the work was there."""
        return {"peak_bytes": self._memory(), "bytes_before": self._before}

    def count(self) -> dict[str, Any]:
        """Return operations and bytes of the work."""
        # Here: it takes memory, which no work is to have.
        from speed.counting import count

        with self._eager():
            operations, num_bytes = count(self.work.run)
        return {"operations": operations, "num_bytes": self.work.num_bytes or num_bytes}

    def ceilings(self, is_quick: bool) -> dict[str, Any]:
        """Return the machine's best rates, in the precision of this project's own steps."""
        return ceilings(
            self.device, resolve_precision(self.subject.precision, self.device), is_quick
        )

    def _eager(self) -> contextlib.AbstractContextManager[None]:
        """Return a context in which what is compiled runs as it is."""
        if not self.subject.compile:
            return contextlib.nullcontext()
        return torch.compiler.set_stance("force_eager")

    def _memory(self) -> int:
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        if PROCESS.exists():
            (peak,) = re.findall(r"^VmHWM:\s+(\d+) kB$", PROCESS.read_text(), re.MULTILINE)
            return int(peak) * 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # of macOS, in bytes


def load_all_of_torch() -> None:
    """Let torch load what it loads with the first step of an optimizer: it is no memory of work."""
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.AdamW([parameter])
    parameter.sum().backward()
    optimizer.step()
    optimizer.zero_grad()


def serve(folder: Path, name: str, way: str) -> None:
    """Answer requests until there are no more."""
    # What anything prints goes to the standard error; answers have the output to themselves.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(make: Callable[[], dict[str, Any]]) -> bool:
        try:
            found = make()
        except Exception as error:  # a version of the project may lack what is measured
            lines = str(error).splitlines() or [""]
            found = {"error": f"{type(error).__name__}: {lines[0]}"}
        print(json.dumps(found), file=answers, flush=True)
        return "error" not in found

    served: list[Served] = []

    def start() -> dict[str, Any]:
        served.append(Served(folder, name, way))
        return {} if name == CEILINGS else served[0].ready()

    if not answer(start):
        return
    for line in sys.stdin:
        request = json.loads(line)
        action = getattr(served[0], request.pop("action"))
        if not answer(functools.partial(action, **request)):
            return


if __name__ == "__main__":
    serve(Path(sys.argv[1]), *sys.argv[2:4])

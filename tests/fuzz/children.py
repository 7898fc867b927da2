"""Runs tries in forked processes: what crashes one, or hangs, is told of the try that did it."""

import contextlib
import json
import os
import resource
import select
import signal
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch

BATCH = 50
"""Tries of one process."""
MEMORY = 6 * 2**30
"""Bytes that a process may ask for besides those that it starts with."""


class Outcome(NamedTuple):
    """How a try went."""

    kind: str
    """`right`, `warned`, `refused`, `other` (well-formed, where nothing could tell), or, each a
    violation: `wrong`, `unnamed`, `traceback`, `leftover`, `memory`, `crash`, `hang`."""
    text: str = ""

    @property
    def is_violation(self) -> bool:
        """Whether it must not be."""
        return self.kind not in ("right", "warned", "refused", "other")


def run_all(number: int, one: Callable[[int], Outcome], seconds: float) -> list[Outcome]:
    """Return the outcomes of the tries 0 to number - 1, each of which may take some seconds."""
    outcomes: list[Outcome] = []
    while len(outcomes) < number:
        first = len(outcomes)
        reader, writer = os.pipe()
        if (pid := os.fork()) == 0:
            os.close(reader)
            _work(range(first, min(first + BATCH, number)), one, writer)
        os.close(writer)
        outcomes += _collect(reader, pid, min(BATCH, number - first), seconds)
    return outcomes


def _work(tries: range, one: Callable[[int], Outcome], writer: int) -> None:
    """Go through tries in a child; it does not return."""
    torch.set_num_threads(1)  # the parent's other threads, if it had any, are not here
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):  # FFmpeg speaks
        os.dup2(nowhere, stream)
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0])
    used = pages * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    with open(writer, "w", encoding="utf-8") as pipe:
        for number in tries:
            try:
                outcome = one(number)
            except BaseException:  # of the harness itself; nothing may reach the caller's stack
                outcome = Outcome("crash", traceback.format_exc())
            pipe.write(json.dumps(outcome) + "\n")
            pipe.flush()
    os._exit(0)


def _collect(reader: int, pid: int, number: int, seconds: float) -> list[Outcome]:
    """Return the outcomes of a child's tries, up to one that ends it."""
    outcomes: list[Outcome] = []
    text, deadline = b"", time.monotonic() + seconds
    is_open = True
    while is_open and len(outcomes) < number:
        is_ready = select.select([reader], [], [], max(deadline - time.monotonic(), 0))[0]
        if not is_ready:
            break
        new = os.read(reader, 1 << 16)
        is_open, text = bool(new), text + new
        *lines, text = text.split(b"\n")
        for line in lines:
            kind, words = json.loads(line)
            outcomes.append(Outcome(kind, words))
            deadline = time.monotonic() + seconds
    os.close(reader)
    if len(outcomes) < number and is_open:
        outcomes.append(Outcome("hang", f"it took more than {seconds:.0f} seconds"))
    with contextlib.suppress(ProcessLookupError):
        if outcomes and outcomes[-1].kind == "hang":
            os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    if len(outcomes) < number and not is_open:
        outcomes.append(Outcome("crash", f"status {os.waitstatus_to_exitcode(status)}"))
    return outcomes


def judged(
    run: Callable[[], Any], names: Callable[[str], bool], is_right: Callable[[Any], Outcome]
) -> Outcome:
    """Return how a call went that may raise what a program tells its user.

    Args:
        run: The call.
        names: Whether a message names what is wrong.
        is_right: What the call's result is worth.
    """
    from ocvp.runtime.program import _explanation

    try:
        result = run()
    except MemoryError as error:
        return Outcome("memory", repr(error))
    except Exception as error:
        message = _explanation(error)
        if message is None:
            return Outcome("traceback", traceback.format_exc())
        if not names(message):
            return Outcome("unnamed", f"{message}\n{traceback.format_exc()}")
        return Outcome("refused", message)
    return is_right(result)

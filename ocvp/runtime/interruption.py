"""Signals that stop a training: noted when they come, obeyed where nothing is lost.

Also what keeps its children from stopping on their own, and from going on without it.
"""

import contextlib
import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM)
ONE_SIGNAL_SECONDS = 2.0
"""Signals so soon after the first count as one: a launcher forwards what the terminal already
sent, and a cluster signals every process of a job."""

OVERDUE_SECONDS = 5.0
"""How long a step may still wait for what others are to give it, after a signal to stop."""

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


@contextlib.contextmanager
def signals_to(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Have Ctrl-C and a termination signal call a function, as long as the context lasts.

    Elsewhere than in the main thread, which alone receives signals, and for a signal that the
    process was started to ignore: nothing.
    """
    former: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                former[number] = signal.signal(number, handler)
    try:
        yield
    finally:
        for code, earlier in former.items():
            signal.signal(code, earlier)


class OverdueStopError(Exception):
    """A signal to stop came, and what the step waits for does not."""


_stop_time: float | None = None  # when the signal came that the last `StopRequest` noted


def is_stop_overdue() -> bool:
    """Tell whether who waits within a step should give up, as a signal to stop came a while ago."""
    return _stop_time is not None and time.monotonic() - _stop_time > OVERDUE_SECONDS


class StopRequest:
    """Notes a signal to stop (`note` is its handler), for a loop that asks between its steps.

    A further signal more than 2 seconds after the first ends the process at once.

    Args:
        is_shown: Whether to print what a signal does.
    """

    def __init__(self, is_shown: bool = True) -> None:
        global _stop_time
        self._is_shown = is_shown
        self._number: int | None = None
        _stop_time = None

    @property
    def is_made(self) -> bool:
        """Tell whether a signal came."""
        return self._number is not None

    def obey(self) -> NoReturn:
        """End the program as the signal that came would have ended it."""
        # Where another process of the training received it: as a termination.
        if self._number == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + (self._number or signal.SIGTERM))

    def note(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal."""
        global _stop_time
        if self._number is None or _stop_time is None:
            self._number, _stop_time = number, time.monotonic()
            self._print("stopping after this step; a second signal stops at once")
        elif time.monotonic() - _stop_time > ONE_SIGNAL_SECONDS:
            self._print("stopped at once; the same command goes on from what was last saved")
            os._exit(128 + number)

    def _print(self, text: str) -> None:
        if self._is_shown:
            # The system's own call: the signal may have come while Python was writing to stderr.
            start = "\n" if sys.stderr.isatty() else ""
            os.write(2, f"{start}{text}\n".encode())


def leave_stopping_to_parent() -> None:
    """Let a process that reads ahead for another ignore both signals; the parent ends it."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def die_with_parent() -> None:
    """Let the kernel kill this process when its parent ends, however that ends.

    It does nothing where the parent has ended already, so look for it afterwards; nor elsewhere
    than on Linux.
    """
    if sys.platform.startswith("linux"):
        with contextlib.suppress(OSError, AttributeError):  # another C library
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL), 0, 0, 0)

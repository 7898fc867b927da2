"""Signals that stop a program, held back where it must not stop."""

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def held_signals() -> Iterator[None]:
    """Let Ctrl-C and a termination signal wait for the end of the block, so that it runs whole.

    Elsewhere than in the main thread, which alone receives signals: nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[int] = []
    former = {
        number: signal.signal(number, lambda number, _: received.append(number))
        for number in SIGNALS
    }
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
        if received:
            signal.raise_signal(received[0])


def leave_stopping_to_parent(worker: int = 0) -> None:
    """Let a process that reads ahead for another ignore both signals; the parent ends it.

    Args:
        worker: Its number, which DataLoader gives.
    """
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    # A parent that ends in the middle of a handover makes a thread of this process fail; what the
    # reader itself has to report goes to the parent another way.
    sys.excepthook = lambda *_: None

"""Messages of a program: on the terminal, above its progress bar, and in log files.

A program's main thread, its other threads and its warnings all speak through loggers below `ocvp`.
"""

import contextlib
import logging
import os
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tqdm import tqdm

logger = logging.getLogger("ocvp")


def start_logging(log: Path | None) -> None:
    """Send messages to stderr, and everything, warnings and tracebacks included, to `log`.

    Where a log is kept and stderr is no terminal, as in most runs of the workflow, it gets warnings
    and errors only.

    Raises:
        OSError: If the log cannot be written.
    """
    logger.setLevel(logging.DEBUG)
    logger.handlers.clear()
    name = f"process {rank()}: " if rank() else ""
    is_brief = rank() or (log is not None and not sys.stderr.isatty())
    terminal = _TerminalHandler(logging.WARNING if is_brief else logging.INFO)
    terminal.setFormatter(logging.Formatter(f"{name}%(message)s"))
    logger.addHandler(terminal)
    if log is not None:
        try:
            log.parent.mkdir(parents=True, exist_ok=True)
            # What starts several processes made the file; they add to it.
            mode = "a" if is_rank() else "w"
            file = _LogFile(log, mode=mode, encoding="utf-8")
        except OSError as error:
            raise OSError(f"cannot write the log {log} ({error.strerror})") from error
        file.setFormatter(logging.Formatter(f"%(asctime)s %(levelname)s {name}%(message)s"))
        logger.addHandler(file)
    warnings.showwarning = _log_warning  # type: ignore[assignment]
    threading.excepthook = _log_thread


@contextlib.contextmanager
def also_logged(path: Path) -> Iterator[None]:
    """Append records and warnings to a further file, which later runs append to as well.

    Raises:
        OSError: If it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file = _LogFile(path, mode="a", encoding="utf-8")
    file.setLevel(logging.INFO)
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger.addHandler(file)
    try:
        yield
    finally:
        logger.removeHandler(file)
        file.close()


class _TerminalHandler(logging.Handler):
    """Prints records without breaking a progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        style = "1;31" if record.levelno >= logging.ERROR else ""
        print_above_bar(self.format(record), style)


class _LogFile(logging.FileHandler):
    """A log whose own failure (a full disk) does not hide what it should have recorded."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        print_above_bar(f"the log cannot be written: {sys.exc_info()[1]}")
        logger.removeHandler(self)
        with contextlib.suppress(OSError):  # closing tries to write the same text again
            self.close()


def _log_warning(message: Any, category: Any, filename: str, lineno: int, *_: Any) -> None:
    logger.warning("%s: %s (%s:%d)", category.__name__, message, filename, lineno)


def _log_thread(failure: threading.ExceptHookArgs) -> None:
    details = (failure.exc_type, failure.exc_value or failure.exc_type(), failure.exc_traceback)
    logger.error("a thread failed", exc_info=details)


def print_above_bar(text: str, style: str = "") -> None:
    """Print to stderr, in colour on a terminal, above a progress bar where one is shown."""
    if style and sys.stderr.isatty():
        text = f"\033[{style}m{text}\033[0m"
    tqdm.write(text, file=sys.stderr)


def is_rank() -> bool:
    """Return whether torchrun, or `ocvp.runtime.launch`, started this process."""
    # Others set RANK too: clusters for all that they run.
    return "TORCHELASTIC_RUN_ID" in os.environ


def rank() -> int:
    """Return this process' number among those that were started together; 0 for one alone."""
    return int(os.environ["RANK"]) if is_rank() else 0

"""What a run of Snakemake says while it goes: which jobs start, instead of a dozen lines for each.

Errors and warnings are Snakemake's own. What it says of each job (files, reason, resources) is in
its log, below .snakemake/log/; `snakemake --quiet host` shows that on the terminal too.
"""

import logging
import sys
import textwrap
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from snakemake_interface_logger_plugins.common import LogEvent

from ocvp.study.reasons import readable_reason

INTERVAL_SECONDS = 60.0
"""How often it is told which jobs started, where the output is no terminal; on one, at once."""
TOGETHER_SECONDS = 1.0
"""How long the first waits for those that start with it."""
WIDTH = 100
HUSHED = (
    *("Building DAG", "Using shell", "Conda environments: ignored", "Select jobs", "Execute "),
    *("Singularity containers: ignored", "Finished job"),
)
"""With what messages start that say nothing of this run."""


class JobLines(logging.Filter):
    """Takes the place of what Snakemake says of jobs, and adds to what a dry run says.

    Args:
        workflow: Snakemake's, of which a dry run is only known when it starts.
        forecast: Returns the plan of the run (`plan.forecast`).
        interval: Seconds from one message on started jobs to the next.
    """

    def __init__(self, workflow: Any, forecast: Callable[[], str], interval: float) -> None:
        super().__init__()
        self._workflow, self._forecast, self._interval = workflow, forecast, interval
        self._lock = threading.Lock()
        self._last = -interval
        self._timer: threading.Timer | None = None
        self._started: dict[str, list[str]] = defaultdict(list)  # by rule
        self._done = ""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether Snakemake's message is shown."""
        event = getattr(record, "event", None)
        if self._workflow.dryrun:
            if event == LogEvent.RUN_INFO:
                record.msg = f"{record.msg}\n{self._forecast()}\n"
            elif event == LogEvent.JOB_INFO:
                record.reason = readable_reason(record.__dict__["reason"])
            return True
        if event == LogEvent.JOB_INFO:
            self._start(record)
        elif event == LogEvent.PROGRESS:
            self._count(record)
        if record.levelno >= logging.WARNING:
            self.flush()  # so that it stands below the jobs that it may be about
            return True
        is_of_all = event is None and not hasattr(record, "quietness")  # no temporary files
        return is_of_all and not str(record.msg).startswith(HUSHED)

    def _start(self, record: Any) -> None:
        names = record.wildcards or {}
        path = "/".join(
            f"{key}{value}" if value.isdigit() else value for key, value in names.items()
        )
        with self._lock:
            self._started[record.rule_name].append(path)
        wait = self._last + self._interval - time.monotonic()
        if not self._interval:
            self.flush()
        elif self._timer is None:
            self._timer = threading.Timer(max(TOGETHER_SECONDS, wait), self.flush)
            self._timer.daemon = True
            self._timer.start()

    def _count(self, record: Any) -> None:
        self._done = f"{record.done} of {record.total} done,"
        if record.done == record.total:
            self.flush()

    def flush(self) -> None:
        """Print which jobs started since this was last done."""
        with self._lock:
            started, self._started, self._timer = self._started, defaultdict(list), None
        if started:
            self._last = time.monotonic()
            jobs = ", ".join(f"{rule} {', '.join(paths)}" for rule, paths in started.items())
            words = (time.strftime("%H:%M:%S"), self._done, "started:", jobs)
            print(_wrapped(" ".join(filter(None, words))), file=sys.stderr, flush=True)


def _wrapped(text: str) -> str:
    return textwrap.fill(text, WIDTH, subsequent_indent=" " * 4, break_long_words=False)


def attach(workflow: Any, forecast: Callable[[], str]) -> None:
    """Let `JobLines` speak for Snakemake, unless its user chose what it says.

    Args:
        workflow: Snakemake's.
        forecast: See `JobLines`.
    """
    settings = workflow.output_settings
    if settings.quiet or settings.verbose or settings.printshellcmds:
        return
    for handler in logging.getLogger("snakemake.logging").handlers:
        if handler.name == "DefaultStreamHandler":
            interval = 0.0 if sys.stderr.isatty() else INTERVAL_SECONDS
            handler.filters.insert(0, JobLines(workflow, forecast, interval))

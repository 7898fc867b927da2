"""What a run says on the terminal: what starts, what fails, and in a dry run the forecast."""

import logging
import sys
import time
from types import SimpleNamespace

import pytest
from snakemake.logging import ColorizingTextHandler, DefaultFilter, DefaultFormatter
from snakemake_interface_logger_plugins.common import LogEvent

from ocvp.study import job_lines
from ocvp.study.job_lines import JobLines, attach


@pytest.fixture
def snakemake(monkeypatch):
    """Snakemake's logger, as it is set up where the output is no terminal."""
    logger = logging.getLogger("snakemake.logging")
    # written to what stderr is at the time, since pytest changes it
    stderr = SimpleNamespace(write=lambda text: sys.stderr.write(text), flush=lambda: None)
    handler = ColorizingTextHandler(nocolor=True, stream=stderr)
    handler.name = "DefaultStreamHandler"
    handler.addFilter(DefaultFilter(None, False, False, dryrun=False, printshellcmds=False))
    handler.setFormatter(DefaultFormatter())
    monkeypatch.setattr(logger, "handlers", [handler])
    monkeypatch.setattr(logger, "propagate", False)
    monkeypatch.setattr(logger, "level", logging.INFO)
    return logger


def workflow(*, dryrun=False, quiet=(), printshellcmds=False):
    settings = SimpleNamespace(quiet=quiet, verbose=False, printshellcmds=printshellcmds)
    return SimpleNamespace(dryrun=dryrun, output_settings=settings)


def start(logger, rule, **wildcards):
    facts = {"rule_msg": None, "jobid": 1, "local": False, "is_checkpoint": False, "input": []}
    facts |= {"output": ["o"], "log": [], "benchmark": None, "reason": "it is missing"}
    facts |= {"priority": 0, "threads": 1, "resources": {}, "wildcards": wildcards}
    logger.info("", extra={"event": LogEvent.JOB_INFO, "rule_name": rule, **facts})


def progress(logger, done, total):
    logger.info("", extra={"event": LogEvent.PROGRESS, "done": done, "total": total})


def fail(logger, rule):
    facts = dict.fromkeys(("rule_msg", "conda_env", "shellcmd"))
    facts |= {"jobid": 1, "input": [], "output": [], "log": [], "aux": {}, "indent": False}
    logger.error("failed", extra={"event": LogEvent.JOB_ERROR, "rule_name": rule, **facts})


def test_all_that_starts_is_told_in_few_lines(snakemake, capsys):
    attach(workflow(), str)
    snakemake.info("Select jobs to execute...")
    for chunk in range(12):
        start(snakemake, "make_chunk", dataset="tabletop", split="train", chunk=str(chunk))
    start(snakemake, "draw_slots", dataset="tabletop", savi="savi", seed="0")
    snakemake.info("Finished jobid: 3", extra={"event": LogEvent.JOB_FINISHED, "job_id": 3})
    progress(snakemake, 3, 14)
    assert capsys.readouterr().err == ""  # within the first second
    progress(snakemake, 14, 14)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0][8:].startswith(" 14 of 14 done, started: make_chunk tabletop/train/chunk0, ")
    assert max(map(len, lines)) <= 100
    assert len(lines) == 4
    told = " ".join(line.strip() for line in lines)
    assert all(f"tabletop/train/chunk{chunk}, " in told for chunk in range(12))
    assert told.endswith("draw_slots tabletop/savi/seed0")


def test_they_are_told_in_time_without_another_message(snakemake, capsys, monkeypatch):
    monkeypatch.setattr(job_lines, "TOGETHER_SECONDS", 0.01)
    attach(workflow(), str)
    start(snakemake, "fit_savi", dataset="tabletop", savi="savi", seed="0")
    deadline = time.monotonic() + 10
    text = ""
    while not text and time.monotonic() < deadline:
        time.sleep(0.01)
        text = capsys.readouterr().err
    assert text.endswith("started: fit_savi tabletop/savi/seed0\n")


def test_a_failure_is_told_below_what_started(snakemake, capsys):
    attach(workflow(), str)
    start(snakemake, "fit_savi", dataset="tabletop", savi="savi", seed="0")
    fail(snakemake, "fit_savi")
    snakemake.warning("it is late")
    snakemake.info("Nothing to be done")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].endswith("started: fit_savi tabletop/savi/seed0")
    assert "Error in rule fit_savi:" in lines
    assert lines[-2:] == ["it is late", "Nothing to be done"]


def test_on_a_terminal_each_is_told_at_once(snakemake, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    attach(workflow(), str)
    for seed in range(3):
        start(snakemake, "fit_savi", seed=str(seed))
        assert capsys.readouterr().err.endswith(f"started: fit_savi seed{seed}\n")


def test_a_dry_run_says_what_would_run_and_why_and_the_forecast(snakemake, capsys):
    attach(workflow(dryrun=True), lambda: "This run: 1 jobs (fit_savi).")
    snakemake.info("Job stats:\nfit_savi 1", extra={"event": LogEvent.RUN_INFO})
    start(snakemake, "fit_savi", seed="0")
    lines = capsys.readouterr().err.splitlines()
    assert lines[:3] == ["Job stats:", "fit_savi 1", "This run: 1 jobs (fit_savi)."]
    assert "rule fit_savi:" in lines
    assert "    reason: it is missing" in lines


@pytest.mark.parametrize("chosen", [{"quiet": ("host",)}, {"printshellcmds": True}])
def test_who_chooses_what_snakemake_says_gets_that(snakemake, capsys, chosen):
    attach(workflow(**chosen), str)
    assert not [f for f in snakemake.handlers[0].filters if isinstance(f, JobLines)]
    start(snakemake, "fit_savi", seed="0")
    assert "rule fit_savi:" in capsys.readouterr().err

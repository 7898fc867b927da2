"""Snakemake runs within tests: real ones, ones whose programs only make files, and dry runs.

Importing Snakemake takes longer than a dry run. A fork server that has imported it, and nothing of
this package, forks a fresh process for each run: what one run imports, the next one does not see.
"""

import contextlib
import multiprocessing
import os
import re
import sys
import traceback
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

PROJECT = Path(__file__).resolve().parent.parent
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(
    [
        "pandas",
        "pydantic",
        "snakemake.cli",
        "snakemake.dag",
        "snakemake.executors.dryrun",
        "snakemake.executors.local",
        "snakemake.executors.touch",
        "snakemake.linting",
        "snakemake.report.html_reporter",
        "snakemake.scheduling.greedy",
        "snakemake.workflow",
    ]
)

# Stands for `python -m ocvp.PROGRAM ...`: makes what it is asked for, one file larger than 1 MB.
STUB = """#!/bin/sh
for argument; do
    case $argument in
        results/*)
            if [ ! -e "$argument" ]; then
                echo "$argument" > "$argument"
                case $argument in */train.h5) head -c 1200000 /dev/zero >> "$argument" ;; esac
            fi ;;
    esac
done
"""


class Run(NamedTuple):
    """How a run ended, and all that it printed."""

    status: int
    text: str


class Job(NamedTuple):
    """A job of a dry run: its rule and the first file that it makes."""

    rule: str
    output: str


def run_snakemake(
    *arguments: str | Path, folder: Path, project: Path = PROJECT, python: Path | None = None
) -> Run:
    """Run the command line of Snakemake on this project's Snakefile, in a process of its own.

    Args:
        arguments: What follows `snakemake --snakefile SNAKEFILE`.
        folder: Working folder, which holds results/ and .snakemake/.
        project: Folder of the Snakefile and of the package.
        python: Stands for the interpreter that jobs run; None: the one that runs the tests.
    """
    receiver, sender = _context.Pipe(duplex=False)
    argv = ["--snakefile", str(project / "Snakefile"), *map(str, arguments)]
    output = folder / f".output-{os.getpid()}.txt"
    process = _context.Process(target=_run, args=(sender, argv, folder, project, python, output))
    process.start()
    sender.close()
    try:
        status = receiver.recv()
    except EOFError:
        status = -1
    process.join()
    text = output.read_text(encoding="utf-8", errors="replace")
    output.unlink()
    return Run(status, text)


def _run(
    sender: Connection,
    argv: list[str],
    folder: Path,
    project: Path,
    python: Path | None,
    output: Path,
) -> None:
    os.chdir(folder)
    sys.path.insert(0, str(project))
    if python is not None:
        sys.executable = str(python)  # its folder comes first on the PATH of the jobs
    with output.open("w", encoding="utf-8") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        status: int | str | None = 0
        with contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
            try:
                from snakemake.cli import main

                main(argv)
            except SystemExit as error:
                status = error.code
            except BaseException:
                traceback.print_exc()
                status = 1
    sender.send(int(status or 0) if isinstance(status, int | None) else 1)


def stub_python(folder: Path) -> Path:
    """Write a `python` that makes the files that a job declares and does nothing else."""
    path = folder / "python"
    folder.mkdir(exist_ok=True)
    path.write_text(STUB, encoding="utf-8")
    path.chmod(0o755)
    return path


def stale_jobs(
    *arguments: str | Path, config: Path, folder: Path, project: Path = PROJECT
) -> set[Job]:
    """Return the jobs that a dry run lists, without those that only collect.

    Args:
        arguments: Further arguments of Snakemake.
        config: The config file.
        folder: Working folder, which holds results/ and .snakemake/.
        project: Folder of the Snakefile and of the package.

    Raises:
        AssertionError: If the dry run fails, with what it printed.
    """
    run = run_snakemake(
        "--dry-run", "--configfile", config, *arguments, folder=folder, project=project
    )
    assert run.status == 0, run.text
    return jobs_in(run.text)


def jobs_in(text: str) -> set[Job]:
    """Return the jobs that Snakemake announces in `text`."""
    jobs = re.findall(
        r"^(?:local)?rule (\w+):\n(?:    input: .*\n)?    output: ([^,\n]+)", text, re.MULTILINE
    )
    return {Job(rule, output) for rule, output in jobs}

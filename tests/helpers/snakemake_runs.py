"""Snakemake runs within tests: real ones, ones whose programs only make files, and dry runs.

Importing Snakemake takes longer than a dry run. A process that has imported it, and nothing of this
package, forks a fresh one for each run: what one run imports, the next one does not see. Where many
runs read the same code, a process that has read it forks them.
"""

import contextlib
import functools
import gc
import importlib
import multiprocessing
import os
import re
import shutil
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import yaml

PROJECT = Path(__file__).resolve().parents[2]
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
        "snakemake.storage",
        "snakemake.workflow",
    ]
)

# Stands for `python -m ocvp.PROGRAM ...`: makes what it is asked for, and some files large, with a
# hole at their end.
STUB = """#!/bin/sh
for argument; do
    case $argument in
        results/*)
            if [ ! -e "$argument" ]; then
                echo "$argument" > "$argument"
                case $argument in
                    */train.h5) dd if=/dev/null of="$argument" bs=1 seek=LARGE 2> /dev/null ;;
                esac
            fi ;;
    esac
done
"""


FILES_OF_PROJECT = ("Snakefile", "workflow", "profiles", "config", "envs")


class Run(NamedTuple):
    """How a run ended, and all that it printed."""

    status: int
    text: str


class Job(NamedTuple):
    """A job of a dry run: its rule and the first file that it makes."""

    rule: str
    output: str


class Step(NamedTuple):
    """A job that ran, and its files."""

    job: Job
    inputs: list[str]
    outputs: list[str]


def run_snakemake(
    *arguments: str | Path,
    folder: Path,
    project: Path = PROJECT,
    python: Path | None = None,
    environment: Mapping[str, str] | None = None,
    read: Path | None = None,
) -> Run:
    """Run the command line of Snakemake on this project's Snakefile, in a process of its own.

    It says of each job what Snakemake says by itself (`--quiet=host`), which tests read.

    Args:
        arguments: What follows `snakemake --snakefile SNAKEFILE`.
        folder: Working folder, which holds results/ and .snakemake/.
        project: Folder of the Snakefile and of the package.
        python: Stands for the interpreter that jobs run; None: the one that runs the tests.
        environment: Further environment variables.
        read: Folder of the package, where its code is read once for all runs that name it; it must
            not change in between. None: the run reads the project's.
    """
    argv = ["--snakefile", str(project / "Snakefile"), "--quiet=host", *map(str, arguments)]
    # elsewhere than in the folder, which other tests copy meanwhile
    output = Path(tempfile.gettempdir()) / f"snakemake-{os.getpid()}.txt"
    what = (argv, folder, project, python, environment or {}, output)
    server = _server(read)
    server.send(what)
    status = server.recv()
    text = output.read_text(encoding="utf-8", errors="replace")
    output.unlink()
    return Run(status, text)


@functools.cache
def _server(read: Path | None) -> Connection:
    """Return the way to a process that forks one for each run, and has read a folder's code."""
    ours, theirs = _context.Pipe()
    _context.Process(
        name="Snakemake", target=_load_and_serve, args=(theirs, read), daemon=True
    ).start()
    theirs.close()
    return ours


def _load_and_serve(requests: Connection, read: Path | None) -> None:
    importlib.import_module("snakemake.cli").get_argument_parser()  # imports all plugins
    if read is not None:
        sys.path.insert(0, str(read))
        importlib.import_module("ocvp.study.jobs")
        rules = importlib.import_module("ocvp.records.rules")
        sources = importlib.import_module("ocvp.data.sources")
        for rule in rules.RULES:
            for kind in (None, *sources.SOURCES):
                rules.stage_digest(rule, kind)
    gc.freeze()  # what is loaded needs no collecting in each run
    while True:
        what = requests.recv()
        if (child := os.fork()) == 0:
            _run_and_exit(*what)
        requests.send(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def _run_and_exit(
    argv: list[str],
    folder: Path,
    project: Path,
    python: Path | None,
    environment: Mapping[str, str],
    output: Path,
) -> NoReturn:
    os.chdir(folder)
    os.environ.update(environment)
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
    os._exit(int(status or 0) if isinstance(status, int | None) else 1)


def copy_project(folder: Path) -> Path:
    """Copy what a run of the workflow uses, so that edits while tests run do not count."""
    folder.mkdir()
    for name in FILES_OF_PROJECT:
        is_folder = (PROJECT / name).is_dir()
        (shutil.copytree if is_folder else shutil.copy2)(PROJECT / name, folder / name)
    copy_package(PROJECT, folder)
    return folder


def copy_package(source: Path, target: Path) -> None:
    """Copy the package, without what Python leaves in its folder."""
    shutil.copytree(source / "ocvp", target / "ocvp", ignore=shutil.ignore_patterns("__pycache__"))


def smallest_study() -> dict[str, Any]:
    """Return the config of tests/helpers/tiny.yaml with one predictor and one protocol."""
    config = yaml.safe_load((PROJECT / "tests/helpers" / "tiny.yaml").read_text(encoding="utf-8"))
    config["study"] |= {"predictors": ["lstm"], "evaluation": ["short"]}
    return dict(config)


def stub_python(folder: Path, large: int = 1_200_000) -> Path:
    """Write a `python` that makes the files that a job declares and does nothing else.

    Args:
        folder: Where to write it.
        large: Bytes of the files of training splits.
    """
    path = folder / "python"
    folder.mkdir(exist_ok=True)
    path.write_text(STUB.replace("LARGE", str(large)), encoding="utf-8")
    path.chmod(0o755)
    return path


def stale_jobs(
    configs: Sequence[Path], folder: Path, project: Path = PROJECT, read: Path | None = None
) -> set[Job]:
    """Return the jobs that a dry run lists, without those that only collect.

    Args:
        configs: Config files, each over the one before.
        folder: Working folder, which holds results/ and .snakemake/.
        project: Folder of the Snakefile and of the package.
        read: See `run_snakemake`.

    Raises:
        AssertionError: If the dry run fails, with what it printed.
    """
    arguments = ("--dry-run", "--configfile", *configs)
    run = run_snakemake(*arguments, folder=folder, project=project, read=read)
    assert run.status == 0, run.text
    return jobs_in(run.text)


def jobs_in(text: str) -> set[Job]:
    """Return the jobs that Snakemake announces in `text`."""
    return {step.job for step in steps_in(text)}


def steps_in(text: str) -> list[Step]:
    """Return the jobs that Snakemake announces in `text`, with their files, in its order."""
    announced = r"^(?:local)?rule (\w+):\n(?:    input: (.*)\n)?    output: (.*)"
    return [
        Step(Job(rule, outputs.split(", ")[0]), inputs.split(", "), outputs.split(", "))
        for rule, inputs, outputs in re.findall(announced, text, re.MULTILINE)
    ]

"""Snakemake runs within tests: real ones, ones whose programs only make files, and dry runs.

Importing Snakemake takes longer than a dry run. A fork server that has imported it, and nothing of
this package, forks a fresh process for each run: what one run imports, the next one does not see.
"""

import contextlib
import multiprocessing
import os
import re
import shutil
import sys
import traceback
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

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


def run_snakemake(
    *arguments: str | Path,
    folder: Path,
    project: Path = PROJECT,
    python: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Run:
    """Run the command line of Snakemake on this project's Snakefile, in a process of its own.

    Args:
        arguments: What follows `snakemake --snakefile SNAKEFILE`.
        folder: Working folder, which holds results/ and .snakemake/.
        project: Folder of the Snakefile and of the package.
        python: Stands for the interpreter that jobs run; None: the one that runs the tests.
        environment: Further environment variables.
    """
    receiver, sender = _context.Pipe(duplex=False)
    argv = ["--snakefile", str(project / "Snakefile"), *map(str, arguments)]
    output = folder / f".output-{os.getpid()}.txt"
    arguments_of_run = (sender, argv, folder, project, python, environment or {}, output)
    process = _context.Process(target=_run, args=arguments_of_run)
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
    environment: Mapping[str, str],
    output: Path,
) -> None:
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
    sender.send(int(status or 0) if isinstance(status, int | None) else 1)


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


def stale_jobs(configs: Sequence[Path], folder: Path, project: Path = PROJECT) -> set[Job]:
    """Return the jobs that a dry run lists, without those that only collect.

    Args:
        configs: Config files, each over the one before.
        folder: Working folder, which holds results/ and .snakemake/.
        project: Folder of the Snakefile and of the package.

    Raises:
        AssertionError: If the dry run fails, with what it printed.
    """
    run = run_snakemake("--dry-run", "--configfile", *configs, folder=folder, project=project)
    assert run.status == 0, run.text
    return jobs_in(run.text)


def jobs_in(text: str) -> set[Job]:
    """Return the jobs that Snakemake announces in `text`."""
    announced = r"^(?:local)?rule (\w+):\n(?:    input: .*\n)?    output: ([^,\n]+)"
    return {Job(*found) for found in re.findall(announced, text, re.MULTILINE)}

"""What several test files need: a study that was run for real, once for all test processes."""

import fcntl
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import forked
import pytest
from snakemake_runs import PROJECT, Run, copy_project, run_snakemake

import ocvp  # noqa: F401 - before any test loads torch or HDF5, as programs do

TINY = PROJECT / "tests/helpers" / "tiny.yaml"

# A shell that runs the tests in the background has them, and what they start, ignore Ctrl-C.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


class FinishedStudy(NamedTuple):
    """The products of tests/helpers/tiny.yaml: read them, but write nothing into their folder."""

    folder: Path
    """Folder of results/, logs/ and .snakemake/."""
    project: Path
    """The code that made them: a copy, so that edits while the tests run do not count."""
    environment: dict[str, str]
    """Environment variables under which `python -m ocvp.PROGRAM` is that code."""
    run: Run
    """How Snakemake ended, and what it printed."""
    imports: dict[str, set[str]]
    """Rule to the modules of the package that its programs imported."""


@pytest.fixture(scope="session")
def shared_folder(
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str, Callable[[Path], None]], Path]:
    """Return a function that makes a folder once for all processes of pytest-xdist."""
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def make(name: str, build: Callable[[Path], None]) -> Path:
        folder = base / name
        with (base / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not folder.exists():
                unfinished = base / f"{name}.unfinished"
                shutil.rmtree(unfinished, ignore_errors=True)
                unfinished.mkdir()
                build(unfinished)
                unfinished.rename(folder)
        return folder

    return make


# Python imports a module of this name at start, in every job of the run.
IMPORT_RECORDER = """
import atexit, os, pathlib, sys

def record():
    log = [value for option, value in zip(sys.argv, sys.argv[1:]) if option == "--log"]
    if log:
        names = sorted(name for name in sys.modules if name.partition(".")[0] == "ocvp")
        folder = pathlib.Path(os.environ["OCVP_TEST_IMPORTS"])
        (folder / f"{pathlib.Path(log[0]).stem}-{os.getpid()}.txt").write_text("\\n".join(names))

atexit.register(record)
"""


def environment_of(folder: Path) -> dict[str, str]:
    """Return the environment in which programs are those of the study's copy of the project."""
    paths = [folder / "recorder", folder / "my project", os.environ.get("PYTHONPATH", "")]
    return {
        "PYTHONPATH": os.pathsep.join(str(path) for path in paths if str(path)),
        "OCVP_TEST_IMPORTS": str(folder / "imports"),
        "OMP_NUM_THREADS": "1",
    }


def _run_tiny_study(folder: Path) -> None:
    # People have spaces in the names of their folders.
    project = copy_project(folder / "my project")
    for name in ("recorder", "imports", "my results"):
        (folder / name).mkdir()
    (folder / "recorder" / "sitecustomize.py").write_text(IMPORT_RECORDER, encoding="utf-8")
    # Most jobs ask for two cores, and use about one.
    run = run_snakemake(
        *("--cores", "4", "--configfile", TINY),
        folder=folder / "my results",
        project=project,
        environment=environment_of(folder),
        python=forked.python("ocvp.train_savi", "ocvp.train_predictor"),
    )
    (folder / "run.txt").write_text(f"{run.status}\n{run.text}", encoding="utf-8")


@pytest.fixture(scope="session")
def finished_study(
    shared_folder: Callable[[str, Callable[[Path], None]], Path],
) -> FinishedStudy:
    """Run tests/helpers/tiny.yaml through the real workflow, with all four predictors."""
    folder = shared_folder("finished-study", _run_tiny_study)
    status, _, text = (folder / "run.txt").read_text(encoding="utf-8").partition("\n")
    assert status == "0", text
    imports: dict[str, set[str]] = {}
    for path in (folder / "imports").iterdir():
        names = set(path.read_text(encoding="utf-8").split())
        imports.setdefault(path.stem.rpartition("-")[0], set()).update(names)
    run = Run(int(status), text)
    work, project = folder / "my results", folder / "my project"
    return FinishedStudy(work, project, environment_of(folder), run, imports)


@pytest.fixture
def copied(finished_study: FinishedStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the finished study, which is the working folder and may be changed."""
    folder = Path(shutil.copytree(finished_study.folder, tmp_path / "copy"))
    monkeypatch.chdir(folder)
    return folder

"""make, the pins and CI: what a fresh machine meets first."""

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]


def run_make(folder: Path, *arguments: str, path: str | None = None) -> subprocess.CompletedProcess:
    environment = {**os.environ, **({"PATH": path} if path else {})}
    environment.pop("MAKEFLAGS", None)
    return subprocess.run(
        ["make", "-C", str(folder), "-f", str(ROOT / "Makefile"), *arguments],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )


def stub(path: Path, script: str) -> Path:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with what the environment is built from, and no environment."""
    (tmp_path / "envs").mkdir()
    for name in ("envs/requirements.lock", "envs/requirements-dev.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def test_make_alone_lists_the_targets(folder: Path) -> None:
    text = run_make(folder).stdout
    targets = (
        "demo",
        "results",
        "shipped",
        "test",
        "test-all",
        "test-slurm",
        "lint",
        "lpips-weights",
        "tensorboard",
        "archive",
        "clean",
        "help",
    )
    assert [target for target in targets if f"make {target} " not in text] == []
    assert not (folder / ".venv").exists()


def test_missing_python_is_told_in_a_sentence(folder: Path) -> None:
    result = run_make(folder, "demo", "PYTHON=no-such-python")
    assert result.returncode != 0
    assert "needs Python 3.11 or newer, but 'no-such-python' is missing or older" in result.stderr
    assert not (folder / ".venv").exists()


def test_old_python_is_told_in_a_sentence(folder: Path) -> None:
    # An old interpreter answers the version check as Python 3.10 would.
    old = stub(folder / "python3.10", f'exec {sys.executable} -c "import sys; sys.exit(1)"')
    result = run_make(folder, "test", f"PYTHON={old}")
    assert result.returncode != 0
    assert "needs Python 3.11 or newer" in result.stderr
    assert "make PYTHON=python3.11 test" in result.stderr


def test_python_without_venv_is_told_in_a_sentence(folder: Path) -> None:
    script = f'case "$2" in *ensurepip*) exit 1;; esac; exec {sys.executable} "$@"'
    bare = stub(folder / "bare-python", script)
    result = run_make(folder, "install", f"PYTHON={bare}")
    assert result.returncode != 0
    assert "has no venv module" in result.stderr


LOCK, TOOLS = ("requirements.lock", "requirements-dev.lock")


def test_environment_is_built_once_and_again_when_the_pins_change(folder: Path) -> None:
    # Stands for Python and pip: "-m venv" makes an environment whose pip notes that it ran.
    script = (
        'if [ "$2" = venv ]; then mkdir -p .venv/bin && cp "$0" .venv/bin/python && exit; fi\n'
        'if [ "$2" = pip ]; then echo "$@" >> pip.log; fi'
    )
    (folder / "my programs").mkdir()
    fake = stub(folder / "my programs" / "fake-python", script)
    log = folder / "pip.log"

    def installed(target: str) -> list[str]:
        log.write_text("")
        result = run_make(folder, target, f"PYTHON={fake}")
        assert result.returncode == 0, result.stderr
        return [line.split()[-1].removeprefix("envs/") for line in log.read_text().splitlines()]

    def edit(name: str, stamp: str) -> None:
        later = (folder / ".venv" / stamp).stat().st_mtime + 10
        os.utime(folder / "envs" / name, (later, later))

    assert installed("install") == [LOCK, "."]
    assert installed("install") == []
    assert installed("test") == [TOOLS]
    assert installed("test") == []
    edit(TOOLS, ".tools-installed")
    assert installed("install") == []
    assert installed("test") == [TOOLS]
    edit(LOCK, ".installed")
    assert installed("test") == [LOCK, ".", TOOLS]


@pytest.mark.parametrize(
    ("targets", "has_tools"),
    [
        (("install", "demo", "lpips-weights", "tensorboard", "archive"), False),
        (("test", "test-all", "test-slurm", "lint", "format"), True),
    ],
)
def test_tools_are_installed_by_the_targets_that_need_them(
    folder: Path, targets: tuple[str, ...], has_tools: bool
) -> None:
    for target in targets:
        commands = run_make(folder, "--dry-run", target).stdout
        assert f"--requirement envs/{LOCK}" in commands, target
        assert (f"--requirement envs/{TOOLS}" in commands) == has_tools, target


def test_clean_spares_what_trainings_resume_from(folder: Path) -> None:
    seed = folder / "results/tabletop/savi/seed0"
    kept = [seed / "resume/state.pt", seed / "resume-old1/state.pt", folder / "results/README.md"]
    kept += [seed / "ocvp_seq/tensorboard/events.out", seed / "resume.lock"]
    deleted = [seed / "savi.pt", seed / "config.json", folder / "results/summary.csv"]
    deleted += [seed / "slots/train.h5", folder / "logs/results/summary.csv/summarize.log"]
    for path in kept + deleted:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("content")
    assert run_make(folder, "clean").returncode == 0
    assert [path for path in kept if not path.exists()] == []
    assert [path for path in deleted if path.exists()] == []
    assert not (seed / "slots").exists()


def test_clean_goes_into_linked_results_and_logs_but_follows_no_link_within(tmp_path: Path) -> None:
    """Neither the project's folder, with a space in its name, nor the links' targets are lost."""
    project, disk = tmp_path / "my project", tmp_path / "disk"
    project.mkdir()
    deleted = [disk / "results/summary.csv", disk / "logs/a/b.log"]
    kept = [disk / "elsewhere/savi.pt", disk / "videos/train.h5", disk / "videos/deep/val.h5"]
    for path in deleted + kept:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("content")
    for name in ("results", "logs"):
        (project / name).symlink_to(disk / name)
    model, videos = disk / "results/savi.pt", disk / "results/videos"
    model.symlink_to(kept[0])
    videos.symlink_to(disk / "videos")
    cleaned = run_make(project, "clean")
    assert cleaned.returncode == 0
    assert [path for path in kept if not path.exists()] == []
    assert [path for path in [*deleted, model] if path.is_symlink() or path.exists()] == []
    assert (project / "results").is_symlink()
    assert (project / "logs").is_symlink()
    assert "not cleaned, since it is a link: results/videos\n" in cleaned.stdout
    assert videos.is_symlink()


def pins_of(name: str) -> dict[str, str]:
    """Return package to version of a lock, as far as it holds for this system."""
    lines = (ROOT / "envs" / name).read_text().splitlines()
    pins = [Requirement(line) for line in lines if not line.startswith("#")]
    assert all(re.fullmatch(r"==[A-Za-z0-9.+!]+", str(pin.specifier)) for pin in pins), pins
    here = [pin for pin in pins if pin.marker is None or pin.marker.evaluate()]
    return {normal(pin.name): str(pin.specifier).removeprefix("==") for pin in here}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_locks_pin_all_that_is_installed() -> None:
    if Path(sys.prefix).resolve() != (ROOT / ".venv").resolve():
        pytest.skip("runs in an environment that make did not build")
    # In this folder alone: setuptools, once imported, adds its own copies to the path.
    found = importlib.metadata.distributions(path=[sysconfig.get_path("purelib")])
    installed = {normal(d.metadata["Name"]): d.version for d in found}
    pins = pins_of(LOCK) | pins_of(TOOLS)
    assert {name: v for name, v in installed.items() if name not in ("ocvp", "pip")} == pins


def needed_by(*lines: str) -> set[str]:
    """Return the packages that requirements name and all that these need, by what is installed."""
    found: set[str] = set()
    open_requirements = [(Requirement(line), "") for line in lines]
    while open_requirements:
        requirement, extra = open_requirements.pop()
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
            for extra in ("", *requirement.extras):
                if (name := f"{normal(requirement.name)}[{extra}]") not in found:
                    found.add(name)
                    further = importlib.metadata.requires(requirement.name) or []
                    open_requirements += [(Requirement(line), extra) for line in further]
    return {name.partition("[")[0] for name in found}


def test_the_lock_holds_what_the_project_needs_and_the_other_what_its_tools_need_besides() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    tools = project["optional-dependencies"]["dev"]
    needed = needed_by(*project["dependencies"], *project["optional-dependencies"]["cluster"])
    assert needed == pins_of(LOCK).keys()
    assert needed_by(*tools) - needed == pins_of(TOOLS).keys()


def run_ci(folder: Path, make: str) -> subprocess.CompletedProcess:
    """Run what CI runs, with a script that stands for make."""
    stub(folder / "make", make)
    return subprocess.run(
        [ROOT / ".ci/run"],
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"},
        check=False,
    )


@pytest.mark.parametrize(
    ("target", "skipped", "status"),
    [("test-all", 0, 0), ("test-all", 1000, 1), ("test-slurm", 1000, 1)],
)
def test_ci_fails_where_more_tests_are_skipped_than_listed(
    tmp_path: Path, target: str, skipped: int, status: int
) -> None:
    skips = f'[ "$1" = {target} ] && echo "3 passed, {skipped} skipped in 1.0s"'
    result = run_ci(tmp_path, f'echo "3 passed in 1.0s"; {skips}; exit 0')
    assert result.returncode == status, result.stderr
    assert f"skipped tests: {skipped} (allowed:" in result.stdout
    assert "test-all: 3 passed" in result.stdout
    assert "test-slurm: 3 passed" in result.stdout


@pytest.mark.parametrize("target", ["lint", "test-all", "test-slurm"])
def test_ci_fails_where_a_target_fails(tmp_path: Path, target: str) -> None:
    make = f'[ "$1" = {target} ] || exit 0; echo "1 failed, 3 passed in 1.0s"; exit 2'
    assert run_ci(tmp_path, make).returncode == 2


def test_ci_runs_the_slurm_beside_the_other_tests_and_shows_both(tmp_path: Path) -> None:
    """Each waits for the other here."""
    make = f"""
    [ "$1" = lint ] && exit
    touch {tmp_path}/$1
    for _ in $(seq 300); do
        [ -e {tmp_path}/test-all -a -e {tmp_path}/test-slurm ] && echo "$1 ran" && exit
        sleep 0.1
    done
    exit 1"""
    result = run_ci(tmp_path, make)
    assert result.returncode == 0, result.stdout
    assert "test-all ran\ntest-slurm ran\n" in result.stdout

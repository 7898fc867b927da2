"""The environments of conda and Apptainer: their pins, jobs in them, and what a change reruns.

Neither program is here. A stand-in for conda answers what Snakemake asks and makes an environment
with the packages of the tests; one for Apptainer runs commands in such an environment.
"""

import os
import re
import runpy
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from environments import make_environment, programs_of, write_conda
from packaging.requirements import Requirement
from packaging.version import Version
from snakemake_runs import PROJECT, Run, copy_project, jobs_in, run_snakemake, smallest_study

VIDEOS = "results/tiny/videos/val.h5"
CONDA = ("--software-deployment-method", "conda")
APPTAINER = ("--software-deployment-method", "apptainer")
# Snakemake's own triggers, which the profile sets without the last.
ALL_TRIGGERS = ("--rerun-triggers", "code", "input", "mtime", "params", "software-env")


# --- pins ---------------------------------------------------------------------------------------


def conda_file() -> dict[str, Any]:
    return dict(yaml.safe_load((PROJECT / "envs" / "ocvp.yaml").read_text(encoding="utf-8")))


def conda_pins() -> list[str]:
    return list(conda_file()["dependencies"][-1]["pip"])


def test_the_file_for_conda_is_as_written_from_the_lock():
    text = (PROJECT / "envs" / "ocvp.yaml").read_text(encoding="utf-8")
    write = runpy.run_path(str(PROJECT / "envs" / "pin_conda.py"))
    assert text == write["environment"](), "run python envs/pin_conda.py"


def test_conda_gets_the_versions_of_the_lock_and_no_tools_of_development():
    lock = (PROJECT / "envs" / "requirements.lock").read_text(encoding="utf-8").splitlines()
    assert conda_pins() == [line for line in lock if not line.startswith("#")]
    names = {Requirement(pin).name for pin in conda_pins()}
    assert {"snakemake", "snakemake-executor-plugin-slurm", "torch", "setuptools"} <= names
    assert names & {"pytest", "mypy", "ruff", "pre_commit", "snakefmt", "scikit-image"} == set()


def test_the_file_for_conda_refers_to_no_other_file():
    # Snakemake copies it, and conda would look for the others beside the copy.
    for pin in conda_pins():
        requirement = Requirement(pin)
        assert requirement.url is None
        assert len(requirement.specifier) == 1


# --- jobs in an environment of conda ------------------------------------------------------------


class CondaRun(NamedTuple):
    """A split's videos, made for real in an environment of conda; do not write into its folders."""

    folder: Path
    project: Path
    run: Run
    path: str
    """PATH with the stand-in for conda."""

    @property
    def environment(self) -> Path:
        """The one environment that was made."""
        (folder,) = (path for path in (self.folder / ".snakemake/conda").iterdir() if path.is_dir())
        return folder


@pytest.fixture(scope="module")
def conda_run(tmp_path_factory: pytest.TempPathFactory) -> CondaRun:
    """Make one split's videos, with real programs."""
    base = tmp_path_factory.mktemp("conda")
    project, work = copy_project(base / "project"), base / "work"
    work.mkdir()
    (work / "study.yaml").write_text(yaml.safe_dump(smallest_study()), encoding="utf-8")
    path = f"{write_conda(base / 'conda')}{os.pathsep}{os.environ['PATH']}"
    options = (VIDEOS, "--cores", "1", "--configfile", "study.yaml", *CONDA)
    run = run_snakemake(*options, folder=work, project=project, environment={"PATH": path})
    assert run.status == 0, run.text
    return CondaRun(work, project, run, path)


def conda_dry_run(made: CondaRun, *options: str, project: Path | None = None) -> str:
    run = run_snakemake(
        *(VIDEOS, "-n", "--configfile", "study.yaml", *CONDA, *options),
        folder=made.folder,
        project=project or made.project,
        environment={"PATH": made.path},
    )
    assert run.status == 0, run.text
    return run.text


def test_jobs_run_in_the_environment_with_the_package_of_the_source_tree(conda_run):
    assert programs_of(conda_run.environment) == ["ocvp.prepare_data"] * 2
    made_of = (conda_run.environment / "made_of.yaml").read_text(encoding="utf-8")
    assert made_of == (PROJECT / "envs" / "ocvp.yaml").read_text(encoding="utf-8")
    python = conda_run.environment / "bin" / "python"
    assert subprocess.run([python, "-c", "import ocvp"], check=False, cwd="/").returncode == 1
    with (conda_run.folder / VIDEOS).open("rb") as file:
        assert file.read(8) == b"\x89HDF\r\n\x1a\n"


def test_another_environment_reruns_nothing(conda_run, tmp_path):
    project = Path(shutil.copytree(conda_run.project, tmp_path / "project"))
    with (project / "envs" / "ocvp.yaml").open("a", encoding="utf-8") as file:
        file.write("      - one-more==1.0\n")
    assert jobs_in(conda_dry_run(conda_run, project=project)) == set()
    # Snakemake by itself would make all anew.
    listed = jobs_in(conda_dry_run(conda_run, *ALL_TRIGGERS, project=project))
    assert ("make_videos", VIDEOS) in listed


def test_with_and_without_conda_the_results_are_the_same_to_snakemake(conda_run):
    options = (VIDEOS, "-n", "--configfile", "study.yaml")
    run = run_snakemake(*options, folder=conda_run.folder, project=conda_run.project)
    assert "Nothing to be done" in run.text


def test_the_profile_leaves_out_one_trigger():
    profile = yaml.safe_load((PROJECT / "profiles/default/config.yaml").read_text("utf-8"))
    assert {*profile["rerun-triggers"], "software-env"} == set(ALL_TRIGGERS[1:])
    assert "software-env" not in profile["rerun-triggers"]


# --- Apptainer ----------------------------------------------------------------------------------


def sections() -> dict[str, list[str]]:
    """Return the lines of each section of the definition; those before the first under ""."""
    found: dict[str, list[str]] = {"": []}
    name = ""
    for line in (PROJECT / "envs" / "ocvp.def").read_text(encoding="utf-8").splitlines():
        if line.startswith("%"):
            name = line.removeprefix("%")
            found[name] = []
        elif line and not line.startswith("#"):
            found[name].append(line)
    return found


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with what %files copies, and with an environment as after %post."""
    root = tmp_path_factory.mktemp("image")
    for line in sections()["files"]:
        source, target = line.split()
        copied = root / target.lstrip("/")
        copied.parent.mkdir(parents=True, exist_ok=True)
        if (PROJECT / source).is_dir():
            shutil.copytree(PROJECT / source, copied, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(PROJECT / source, copied)
    make_environment(root / "usr")
    snakemake = root / "usr" / "bin" / "snakemake"
    snakemake.write_text('#!/bin/sh\nexec python -m snakemake "$@"\n', encoding="utf-8")
    snakemake.chmod(0o755)
    return root


def run_section(image: Path, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the commands of a section as they would run in the image."""
    script = "\n".join(sections()[name]).replace("/opt/ocvp", str(image / "opt/ocvp"))
    variables = {key: text for key, text in os.environ.items() if key != "PYTHONPATH"}
    return subprocess.run(
        ["sh", "-e", "-c", script, name, *arguments],
        env=variables | {"PATH": f"{image}/usr/bin:/usr/bin:/bin"},
        cwd=image,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_image_starts_from_a_python_that_the_project_allows():
    header = dict(line.split(": ") for line in sections()[""])
    version = re.fullmatch(r"python:(\d+\.\d+)-slim-\w+", header["From"])
    assert version is not None
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert Version(version[1]) in Requirement(f"python{project['requires-python']}").specifier
    (conda_python,) = (d for d in conda_file()["dependencies"] if str(d).startswith("python "))
    assert Version(version[1]) in Requirement(conda_python).specifier


def test_the_image_installs_the_lock_that_it_copies():
    copied = dict(line.split() for line in sections()["files"])
    (command,) = sections()["post"]
    assert "pip install" in command
    assert command.endswith(f"--requirement {copied['envs/requirements.lock']}")


@pytest.mark.slow
def test_the_image_holds_all_that_the_workflow_and_its_programs_need(image):
    done = run_section(image, "test")
    assert done.returncode == 0, done.stderr
    assert re.search(r"^total +\d+$", done.stdout + done.stderr, re.MULTILINE)


@pytest.mark.slow
def test_what_the_image_runs_is_a_program_of_the_package(image):
    done = run_section(image, "runscript", "python", "-m", "ocvp.show_results", "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: python -m ocvp.show_results")


# Runs `apptainer exec OPTIONS IMAGE SHELL -c COMMAND` with the programs of a folder, the image.
APPTAINER_STUB = """#!/bin/bash
if [ "$1" = --version ]; then echo "apptainer version 1.3.4"; exit; fi
echo "$@" >> "$CALLS"
image=${@: -4:1}
PATH="$image/bin:/usr/bin:/bin" exec "${@: -3}"
"""


@pytest.mark.slow
def test_jobs_run_in_the_image(tmp_path):
    project, work = copy_project(tmp_path / "project"), tmp_path / "work"
    image = project / "envs" / "ocvp.sif"
    make_environment(image)
    stub = tmp_path / "bin" / "apptainer"
    stub.parent.mkdir()
    stub.write_text(APPTAINER_STUB, encoding="utf-8")
    stub.chmod(0o755)
    work.mkdir()
    (work / "study.yaml").write_text(yaml.safe_dump(smallest_study()), encoding="utf-8")
    calls = tmp_path / "calls.txt"
    path = f"{stub.parent}{os.pathsep}{os.environ['PATH']}"
    run = run_snakemake(
        *(VIDEOS, "--cores", "1", "--configfile", "study.yaml", *APPTAINER),
        folder=work,
        project=project,
        environment={"PATH": path, "CALLS": str(calls)},
    )
    assert run.status == 0, run.text
    assert programs_of(image) == ["ocvp.prepare_data"] * 2
    commands = calls.read_text(encoding="utf-8")
    assert commands.count(f" {image} bash -c ") == 2


def test_without_apptainer_no_image_is_looked_for(conda_run: CondaRun):
    assert not (conda_run.project / "envs" / "ocvp.sif").exists()
    assert "Singularity containers: ignored" in conda_run.run.text

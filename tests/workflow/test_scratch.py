"""Results on another disk: `snakemake --directory SCRATCH`, started in the project's folder."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from environments import make_environment, programs_of
from snakemake_runs import PROJECT, copy_project, jobs_in, run_snakemake, smallest_study
from staleness_raw import write_raw_files

from ocvp.models.loading import load_savi

pytestmark = pytest.mark.slow  # each test runs a study of its own

STUDY = PROJECT / "tests/helpers" / "staleness.yaml"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return copy_project(tmp_path / "project")


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    folder = tmp_path / "scratch" / "run1"
    folder.parent.mkdir()
    return folder


def entries(folder: Path) -> set[str]:
    """Return the names in a folder, without what Python leaves."""
    return {path.name for path in folder.iterdir()} - {"__pycache__"}


def run_without_package(
    python: Path, folder: Path, *arguments: str | Path
) -> subprocess.CompletedProcess[str]:
    """Run Snakemake with a Python that does not have the package, started in a folder."""
    variables = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [python, "-m", "snakemake", *arguments],
        cwd=folder,
        env=variables | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


def test_real_programs_train_into_the_folder(finished_study, project, scratch, tmp_path):
    """The package is not installed; config, profile and package are found in the project."""
    videos = "results/tiny/videos"
    shutil.copytree(finished_study.folder / videos, scratch / videos)
    before = entries(project)
    (project / "mine.yaml").write_text(yaml.safe_dump(smallest_study()), encoding="utf-8")
    environment = tmp_path / "environment"
    python = make_environment(environment)
    options = ("--cores", "2", "--directory", scratch, "--configfile", "mine.yaml")
    done = run_without_package(python, project, "train_savi", *options)
    assert "workflow specific profile profiles/default" in done.stderr
    programs = programs_of(environment)
    assert programs == ["ocvp.train_savi"]
    assert load_savi(scratch / "results/tiny/small/seed1/savi.pt").num_slots == 4
    assert entries(scratch) == {"results", "logs", ".snakemake"}
    assert entries(project) == before | {"mine.yaml"}


def test_a_job_that_a_node_of_a_cluster_runs_finds_the_package(project, scratch, tmp_path):
    """The options are those with which the plugin for Slurm starts Snakemake on a node."""
    environment = tmp_path / "environment"
    python = make_environment(environment)
    scratch.mkdir()
    (scratch / "mine.yaml").write_text(yaml.safe_dump(smallest_study()), encoding="utf-8")
    output = "results/tiny/videos/val/chunk0.h5"
    run_without_package(
        python,
        tmp_path,
        *("--snakefile", project / "Snakefile", "--directory", scratch, "--mode", "remote"),
        *("--target-jobs", "make_chunk:dataset=tiny,split=val,chunk=0"),
        *("--allowed-rules", "make_chunk", "--configfile", scratch / "mine.yaml"),
        *("--cores", "1", "--force", "--no-hooks", "--nolock", "--notemp", "--quiet", "all"),
    )
    assert programs_of(environment) == ["ocvp.prepare_data"]
    assert (scratch / output).exists()


def test_the_default_config_is_the_project_s(project, scratch):
    run = run_snakemake("-n", "--directory", scratch, folder=project, project=project)
    assert run.status == 0, run.text
    assert "results/tabletop/savi/seed0/savi.pt" in {output for _, output in jobs_in(run.text)}


def test_a_default_config_in_the_folder_comes_first(project, scratch):
    (scratch / "config").mkdir(parents=True)
    shutil.copy(PROJECT / "tests/helpers" / "tiny.yaml", scratch / "config" / "config.yaml")
    run = run_snakemake("-n", "--directory", scratch, folder=project, project=project)
    assert run.status == 0, run.text
    assert "results/tiny/small/seed1/savi.pt" in {output for _, output in jobs_in(run.text)}


def test_paths_in_the_config_are_relative_to_the_folder(project, scratch):
    scratch.mkdir()
    write_raw_files(scratch)
    options = ("-n", "--directory", scratch, "--configfile", STUDY)
    run = run_snakemake(*options, folder=project, project=project)
    assert run.status == 0, run.text
    shutil.move(scratch / "raw", project / "raw")
    run = run_snakemake(*options, folder=project, project=project)
    assert run.status == 1
    assert re.search(r"raw/\S+ (does not exist|holds no )", run.text)

"""What is recorded of software, device and source, in repositories made for the purpose."""

import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from tiny import CPU, call, make_savi, write_predictor, write_random_slots, write_savi, write_videos

from ocvp import evaluate_predictor, evaluate_savi
from ocvp.models.checkpoint import read_checkpoint, save_checkpoint
from ocvp.runtime import environment
from ocvp.runtime.environment import made_by, software_versions, source_commit

PACKAGES = {"python", "ocvp", "torch", "torchvision", "torchmetrics", "numpy", "scipy"}
PACKAGES |= {"scikit-learn", "h5py", "av", "pillow", "mujoco"}


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=A", "-c", "user.email=a@b.c", "-c", "init.defaultBranch=main")
    return subprocess.run(
        ["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """Return a package in a repository with one commit."""
    folder = tmp_path / "project" / "ocvp"
    files = (
        "ocvp/__init__.py",
        "ocvp/models/savi.py",
        "workflow/rules/savi.smk",
        "Snakefile",
        "README",
    )
    for name in files:
        path = folder.parent / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("1\n")
    git(folder.parent, "init")
    git(folder.parent, "add", ".")
    git(folder.parent, "commit", "-m", "First")
    source_commit.cache_clear()
    return folder


def fresh_commit(package: Path) -> dict[str, object] | None:
    source_commit.cache_clear()
    return source_commit(package)


# --- the commit ---------------------------------------------------------------------------------


def test_the_commit_of_a_clean_source(package):
    commit = git(package, "rev-parse", "HEAD")
    assert source_commit(package) == {"commit": commit, "dirty": False}
    # What is not tracked, and what is neither package nor workflow, does not count.
    (package / "notes.txt").write_text("mine")
    (package.parent / "README").write_text("2\n")
    os.utime(package / "models/savi.py", (1, 1))
    assert fresh_commit(package) == {"commit": commit, "dirty": False}


@pytest.mark.parametrize("name", ["ocvp/models/savi.py", "workflow/rules/savi.smk", "Snakefile"])
@pytest.mark.parametrize("change", ["edit", "stage", "delete"])
def test_a_source_that_differs_from_its_commit_is_dirty(package, name, change):
    path = package.parent / name
    if change == "delete":
        path.unlink()
    else:
        path.write_text("2\n")
    if change == "stage":
        git(package, "add", str(path))
    commit = git(package, "rev-parse", "HEAD")
    assert source_commit(package) == {"commit": commit, "dirty": True}
    git(package, "commit", "-a", "-m", "Second")
    assert fresh_commit(package) == {"commit": git(package, "rev-parse", "HEAD"), "dirty": False}


def test_the_commit_is_that_of_the_start_of_the_process(package):
    before = source_commit(package)
    (package / "models/savi.py").write_text("2\n")
    assert source_commit(package) == before


def test_an_installed_package_does_not_tell_the_commit_of_a_repository_around_it(package):
    installed = package.parent / ".venv/lib/python3/site-packages/ocvp"
    shutil.copytree(package, installed)
    assert source_commit(installed) is None
    (package.parent / ".gitignore").write_text(".venv\n")
    assert fresh_commit(installed) is None


def test_a_source_in_no_repository_has_no_commit(tmp_path):
    (tmp_path / "ocvp").mkdir()
    (tmp_path / "ocvp/__init__.py").write_text("")
    assert source_commit(tmp_path / "ocvp") is None
    git(tmp_path, "init")
    git(tmp_path, "add", ".")
    assert fresh_commit(tmp_path / "ocvp") is None  # nothing is committed yet


def test_a_hook_of_another_repository_does_not_lead_astray(package, tmp_path, monkeypatch):
    (tmp_path / "other").mkdir()
    git(tmp_path / "other", "init")
    expected = source_commit(package)
    assert expected
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other/.git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(tmp_path / "other"))
    assert fresh_commit(package) == expected


def test_the_index_is_left_alone(package):
    os.utime(package / "models/savi.py", (1, 1))  # git would note that it looked
    index = package.parent / ".git/index"
    before = (index.read_bytes(), index.stat().st_mtime_ns)
    assert source_commit(package) is not None
    assert (index.read_bytes(), index.stat().st_mtime_ns) == before


def with_git(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let another program stand for git."""
    folder.mkdir()
    path = folder / "git"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def test_without_git_there_is_no_commit(package, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert source_commit(package) is None


def test_where_git_refuses_there_is_no_commit(package, tmp_path, monkeypatch):
    # As it does with a repository of another user.
    refusal = "echo 'fatal: detected dubious ownership in repository' >&2; exit 128"
    with_git(tmp_path / "bin", refusal, monkeypatch)
    assert source_commit(package) is None


def test_a_git_that_does_not_answer_is_not_waited_for(package, tmp_path, monkeypatch):
    with_git(tmp_path / "bin", "exec sleep 60", monkeypatch)
    monkeypatch.setattr(environment, "GIT_SECONDS", 0.5)
    start = time.monotonic()
    assert source_commit(package) is None
    assert time.monotonic() - start < 10


def test_a_repository_of_another_user_is_refused_by_git_itself(package):
    if os.geteuid() != 0:
        pytest.skip("only root can give a repository away")
    for path in (package.parent, package.parent / ".git"):
        os.chown(path, 12345, 12345)
    assert source_commit(package) is None


# --- versions and devices -----------------------------------------------------------------------


def test_versions_and_device_of_this_process():
    record = made_by(torch.device("cpu"))
    assert record.keys() == {"versions", "device", "platform", "git"}
    assert record["versions"].keys() == PACKAGES
    assert record["versions"]["python"] == platform.python_version()
    assert record["versions"]["torch"] == torch.__version__
    assert record["versions"]["numpy"] == importlib.metadata.version("numpy")
    assert record["device"]["type"] == "cpu"
    assert record["device"]["name"]
    assert record["platform"] == platform.platform()
    assert record == made_by(torch.device("cpu"))
    assert json.loads(json.dumps(record)) == record  # plain containers


def test_the_processor_is_named_as_the_system_names_it():
    path = Path("/proc/cpuinfo")
    if not path.is_file() or "model name" not in path.read_text():
        pytest.skip("this system does not name its processor there")
    assert f": {environment.device_name(torch.device('cpu'))}\n" in path.read_text()


def test_a_gpu_is_named_without_its_number_and_with_cuda(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H100 80GB HBM3")
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 91002)
    record = made_by(torch.device("cuda:3"))
    assert record["device"] == {"type": "cuda", "name": "NVIDIA H100 80GB HBM3"}
    assert record["versions"].keys() == PACKAGES | {"cuda", "cudnn"}
    assert (record["versions"]["cuda"], record["versions"]["cudnn"]) == ("12.8", "91002")
    assert "cuda" not in software_versions(torch.device("cpu"))


def test_a_program_without_a_device_does_without_torch():
    code = (
        "from ocvp.runtime.environment import made_by; import sys; "
        "print(made_by()['device'], 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "None False"


def test_a_package_that_is_not_installed_is_left_out(monkeypatch):
    monkeypatch.setattr(environment, "PACKAGES", ("numpy", "no-such-package"))
    environment._package_versions.cache_clear()
    try:
        assert software_versions().keys() == {"python", "numpy", "torch"}
    finally:
        environment._package_versions.cache_clear()


# --- in the files -------------------------------------------------------------------------------


def test_checkpoints_say_what_made_them(tmp_path):
    savi, arguments = make_savi()
    common = {"weights": savi.state_dict(), "kind": "savi", "model": arguments}
    record = made_by(torch.device("cpu"))
    for name in ("a.pt", "b.pt"):
        save_checkpoint(tmp_path / name, **common, **record)
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "b.pt").read_bytes()
    stored = read_checkpoint(tmp_path / "a.pt", kinds=("savi",))
    assert {key: stored[key] for key in record} == record
    save_checkpoint(tmp_path / "c.pt", **common)
    stored = read_checkpoint(tmp_path / "c.pt", kinds=("savi",))
    assert (stored["device"], stored["git"]) == (None, None)
    assert stored["versions"] == software_versions()
    # Those of the training, where it was another process that trained.
    save_checkpoint(tmp_path / "d.pt", **common, versions={"torch": "2.11.0"})
    assert read_checkpoint(tmp_path / "d.pt", ("savi",))["versions"] == {"torch": "2.11.0"}


def test_scores_say_what_made_them(tmp_path):
    videos = write_videos(tmp_path / "test.h5", num_videos=2)
    savi = write_savi(tmp_path / "savi.pt")
    content = read_checkpoint(write_predictor(tmp_path / "untold.pt", savi), ("lstm",))
    trained = {"seed": 4, "step": 6, "examples": 12, "training_seconds": 1.5}
    save_checkpoint(tmp_path / "predictor.pt", **(content | trained))
    slots = write_random_slots(tmp_path / "slots.h5", savi, num_videos=2)
    common = ("--savi", savi, "--videos", videos, "--runtime", CPU)
    config = {"evaluation": {"num_frames": 3}, "num_threads": 1}
    scores = tmp_path / "savi.json"
    options = ("--config", config, "--seed", 3, "--output", scores)
    assert call(evaluate_savi.main, *common, *options) == 0
    own = json.loads(scores.read_text())
    assert own["config"]["num_threads"] == 1
    assert own["config"]["evaluation"]["num_frames"] == 3
    assert own["trained"] == {"savi": dict.fromkeys(trained)}  # it was not
    config = {"protocol": {"num_context": 3, "num_preds": 2}, "num_threads": 1}
    options = ("--predictor", tmp_path / "predictor.pt", "--slots", slots, "--output", scores)
    assert call(evaluate_predictor.main, *common, *options, "--config", config) == 0
    predicted = json.loads(scores.read_text())
    assert predicted["config"]["protocol"] == predicted["protocol"]
    assert predicted["config"]["num_threads"] == 1
    assert predicted["trained"]["predictor"] == trained
    assert own["made_by"] == predicted["made_by"] == made_by(torch.device("cpu"))
    assert own["seed"] == 3
    assert "seed" not in predicted  # nothing is drawn

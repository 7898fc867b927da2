"""The Slurm of `make test-slurm` refuses machines that it should leave alone."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[1] / "slurm" / "one_machine.py"
spec = importlib.util.spec_from_file_location("one_machine", PROGRAM)
assert spec is not None
assert spec.loader is not None
one_machine = importlib.util.module_from_spec(spec)
spec.loader.exec_module(one_machine)

REFUSED = {
    "not root": ({"user": 1000}, "only root"),
    "a configuration in the environment": (
        {"environment": {"SLURM_CONF": "/shared/slurm.conf"}},
        r"SLURM_CONF is set.*/shared/slurm\.conf",
    ),
    "a configuration of the machine": ({"config": PROGRAM}, "one_machine.py exists"),
    "a controller": ({"running": {"bash", "slurmctld"}}, "slurmctld is running"),
    "a node": ({"running": {"slurmd"}}, "slurmd is running"),
}
FREE = {"environment": {}, "user": 0, "config": Path("/nowhere/slurm.conf"), "running": {"bash"}}


@pytest.mark.parametrize(("found", "reason"), REFUSED.values(), ids=REFUSED)
def test_a_machine_with_a_slurm_or_without_rights_is_refused(found: dict, reason: str) -> None:
    with pytest.raises(one_machine.RefusedError, match=reason):
        one_machine.check_machine(**FREE | found)


def test_another_machine_is_not() -> None:
    one_machine.check_machine(**FREE)


def test_the_names_of_processes_are_found() -> None:
    assert Path("/proc/self/comm").read_text().strip() in one_machine.running_programs()


def test_the_command_is_not_run_where_no_slurm_was_started(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, PROGRAM, "touch", tmp_path / "ran"],
        env=os.environ | {"SLURM_CONF": "/shared/slurm.conf"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2
    assert result.stderr.startswith("error: no Slurm was started: ")
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "ran").exists()


def programs(folder: Path, **scripts: str) -> str:
    """Write programs into a folder, and return it."""
    for name, script in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        (folder / name).chmod(0o755)
    return str(folder)


def test_packages_are_installed_after_an_update_and_only_where_programs_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = tmp_path / "calls"
    path = programs(tmp_path, **{"apt-get": f'echo "$@" >> {calls}'})
    monkeypatch.setenv("PATH", f"{path}:{os.environ['PATH']}")
    one_machine.install(path)
    update, install = calls.read_text().splitlines()
    assert update.startswith("update")
    assert install.startswith("install --yes")
    assert install.endswith("slurmctld slurmd slurm-client munge")
    programs(tmp_path, **dict.fromkeys(one_machine.PROGRAMS, "exit"))
    one_machine.install(path)
    assert len(calls.read_text().splitlines()) == 2


@pytest.mark.parametrize(
    ("scripts", "reason"),
    [
        ({}, "slurmctld, slurmd, .*munged are missing, and there is no apt-get"),
        ({"apt-get": "echo no network; exit 100"}, "(?s)apt-get update failed:\nno network"),
    ],
)
def test_packages_that_cannot_be_installed_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scripts: dict[str, str], reason: str
) -> None:
    path = programs(tmp_path, **scripts)
    monkeypatch.setenv("PATH", f"{path}:{os.environ['PATH']}")
    with pytest.raises(one_machine.RefusedError, match=reason):
        one_machine.install(path)

"""Snakemake is killed in the middle of a training; unlock, the same command, nothing is lost."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import yaml
from conftest import TINY, FinishedStudy
from tiny import quiet_environment
from trainings import holder, is_running, wait_until

from ocvp.models.checkpoint import read_checkpoint

SAVI = Path("results/tiny/small/seed1/savi.pt")
NUM_STEPS = 100
"""Enough to be killed in."""


class Workflow:
    """Runs of one command of Snakemake in one folder, which has its videos already."""

    def __init__(self, folder: Path, study: FinishedStudy):
        self.folder, project = folder, study.project
        folder.mkdir()
        videos = "results/tiny/videos"
        shutil.copytree(study.folder / videos, folder / videos)
        config = yaml.safe_load(TINY.read_text(encoding="utf-8"))
        config["savi"]["small"]["training"] |= {"num_steps": NUM_STEPS, "num_threads": 1}
        config["runtime"] = {"device": "cpu", "save_interval_minutes": 0.01}
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        words = ["--snakefile", str(project / "Snakefile"), "--configfile", "config.yaml"]
        self._words = [sys.executable, "-m", "snakemake", "train_savi", "--cores", "2", *words]
        paths = [str(project), os.environ.get("PYTHONPATH", "")]
        self._environment = quiet_environment() | {
            "PYTHONPATH": os.pathsep.join(filter(None, paths))
        }

    def start(self, *more: str) -> subprocess.Popen[str]:
        with (self.folder / "printed.txt").open("a") as file:
            return subprocess.Popen(
                [*self._words, *more],
                cwd=self.folder,
                env=self._environment,
                stdout=file,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )

    def run(self, *more: str) -> int:
        return self.start(*more).wait(timeout=300)

    @property
    def printed(self) -> str:
        return (self.folder / "printed.txt").read_text()

    def orphan(self) -> int:
        """Return the number of the training process; 0 before it took its lock."""
        return holder((self.folder / SAVI).parent)

    def has_saved(self) -> bool:
        return any((self.folder / SAVI).parent.glob("resume/state-*.pt"))

    def weights(self) -> str:
        return str(read_checkpoint(self.folder / SAVI, ("savi",))["weights_digest"])

    def log(self) -> str:
        return (self.folder / SAVI).with_name("training.log").read_text()


@pytest.fixture(scope="module")
def whole(finished_study: FinishedStudy, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The weights of a run that nothing disturbed."""
    workflow = Workflow(tmp_path_factory.mktemp("whole") / "work", finished_study)
    assert workflow.run() == 0, workflow.printed
    return workflow.weights()


@pytest.mark.slow
@pytest.mark.parametrize("orphan_lives", [True, False])
def test_killed_unlocked_and_run_again(orphan_lives, finished_study, whole, tmp_path):
    workflow = Workflow(tmp_path / "work", finished_study)
    main = workflow.start()
    wait_until(lambda: workflow.orphan() and workflow.has_saved(), seconds=120)
    orphan = workflow.orphan()
    # Held, so that it is at work for as long as the test wants, however fast the machine.
    os.kill(orphan, signal.SIGSTOP if orphan_lives else signal.SIGKILL)
    main.kill()
    main.wait()
    assert workflow.run() != 0
    assert "--unlock" in workflow.printed  # Snakemake says what to do
    assert workflow.run("--unlock") == 0
    again = workflow.start()
    if orphan_lives:
        log = workflow.folder / "logs" / SAVI / "fit_savi.log"
        wait_until(lambda: log.exists() and "waiting for" in log.read_text(), seconds=120)
        os.kill(orphan, signal.SIGCONT)
    assert again.wait(timeout=300) == 0, workflow.printed
    assert workflow.weights() == whole
    # Nothing was trained twice: the first goes on to its end, or the second goes on from its state.
    log = workflow.log()
    if orphan_lives:
        assert log.count(f"trained {NUM_STEPS} steps") == 1
        assert log.count("complete already") == 1
        assert "going on from step" not in log
    else:
        assert log.count("going on from step") == 1
        assert log.count("complete already") == 0
    assert workflow.run() == 0
    assert "Nothing to be done" in workflow.printed
    assert not psutil.pid_exists(orphan) or not is_running(orphan)

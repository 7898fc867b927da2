"""The workflow on a real Slurm, started as a user starts it: `make test-slurm`.

All tests run side by side, mostly waiting for jobs. Each has a copy of the project of its own.

Slurm counts time limits in minutes and looks at them twice a minute, so that a training that is to
outlive one takes more than 90 seconds: its steps are slowed down by sleep, which changes nothing of
what is computed. The plugin looks at jobs less and less often, each time after 10 more seconds,
until one of them ends well. How many they are at first was chosen so that a test ends soon.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from conftest import TINY
from snakemake_runs import Run, copy_project

from ocvp.records.rules import RULES

SNAKEMAKE = Path(sys.executable).with_name("snakemake")
NUM_STEPS = 75
PATIENCE = 900  # seconds; more than a test ever takes, on a busy machine too
SAVI = Path("results/tiny/small/seed1")
LOG = Path("logs") / SAVI / "savi.pt" / "fit_savi.log"

# Python imports a module of this name at start, in every job.
AT_START = """
import os, sys, time

broken = os.environ["OCVP_TEST_BROKEN"]
if os.path.exists(broken) and any(word.startswith("ocvp.") for word in sys.orig_argv):
    with open(broken) as file:
        if file.read() in " ".join(sys.orig_argv):
            os._exit(1)
    for path in [word for word in sys.orig_argv if word.startswith("results/")]:
        open(path, "a").close()
    os._exit(0)

if "ocvp.train_savi" in sys.orig_argv:
    from torch.optim.optimizer import register_optimizer_step_post_hook

    def sleep(*_):
        if os.path.exists(os.environ["OCVP_TEST_SLOW"]):
            time.sleep(1.5)

    register_optimizer_step_post_hook(sleep)
"""


class Job(NamedTuple):
    """A job as squeue shows it."""

    number: int
    state: str
    cpus: int
    memory_mb: int
    minutes: int
    gpus: int
    rule: str
    """Of a group: its name, and its rules."""


def on_slurm(seconds: int = 1) -> list[str]:
    """Return the options of a user, with the first look at the jobs after so many seconds."""
    looks = ["--slurm-init-seconds-before-status-checks", str(seconds)]
    # All that Snakemake says of jobs.
    return ["--profile", "profiles/slurm", "--quiet", "host", *looks]


class Checkout:
    """A copy of the project, in which a user works.

    Args:
        folder: Where it is made.
        study: The config.
    """

    def __init__(self, folder: Path, study: dict[str, Any]):
        self.folder = copy_project(folder / "project")
        self.slow = folder / "slow"
        """Steps of trainings take longer while this file is there."""
        self.broken = folder / "broken"
        """While this file is there, programs only make their files; or fail, where their command
        line holds its text."""
        (folder / "python").mkdir()
        (folder / "python" / "sitecustomize.py").write_text(AT_START, encoding="utf-8")
        (self.folder / "study.yaml").write_text(yaml.dump(study), encoding="utf-8")
        paths = [self.folder, folder / "python", os.environ.get("PYTHONPATH", "")]
        self._environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(str(path) for path in paths if str(path)),
            "OCVP_TEST_SLOW": str(self.slow),
            "OCVP_TEST_BROKEN": str(self.broken),
        }
        self._output = folder / "output.txt"

    def edit_profile(self, old: str, new: str) -> None:
        """Replace what stands in the profile, as a user does."""
        profile = self.folder / "profiles" / "slurm" / "config.yaml"
        text = profile.read_text(encoding="utf-8")
        assert text.count(old) == 1, old
        profile.write_text(text.replace(old, new), encoding="utf-8")

    def start(self, *arguments: str | Path) -> subprocess.Popen[bytes]:
        """Start Snakemake."""
        with self._output.open("a") as output:
            return subprocess.Popen(
                [SNAKEMAKE, *arguments, "--configfile", "study.yaml"],
                cwd=self.folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # Ctrl-C is ignored in what a shell runs in the background, as CI may do.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )

    def run(self, *arguments: str | Path) -> Run:
        """Run Snakemake, and return what this run printed."""
        before = len(self.text)
        status = self.start(*arguments).wait(timeout=PATIENCE)
        return Run(status, self.text[before:])

    @property
    def text(self) -> str:
        """What all runs printed so far."""
        return self._output.read_text(errors="replace") if self._output.exists() else ""

    def jobs(self) -> list[Job]:
        """Return all jobs of all runs so far, in the order of their submission."""
        key = "SLURM run ID: "
        names = [line[len(key) :] for line in self.text.splitlines() if line.startswith(key)]
        if not names:
            return []
        fields = ("JobID", "State", "NumCPUs", "MinMemory", "TimeLimit", "tres-per-job", "Comment")
        shown = ",".join(f"{field}:|" for field in fields)
        text = ask("squeue", "--states=all", "-h", f"--name={','.join(names)}", "-O", shown)
        return sorted(_job(line) for line in text.splitlines())

    def wait_for(self, is_there: Callable[[], object]) -> None:
        """Wait until something holds; else fail with what was printed."""
        deadline = time.monotonic() + PATIENCE
        while not is_there():
            assert time.monotonic() < deadline, f"it did not happen in time\n{self.text}"
            time.sleep(2.0)  # squeue takes time of the jobs

    def wait_for_log(self, text: str) -> None:
        """Wait until the log of the training says something."""
        log = self.folder / LOG
        self.wait_for(lambda: log.is_file() and text in log.read_text())

    def wait_for_waiting_jobs(self, number: int) -> None:
        """Wait until so many jobs say that they wait for another one."""

        def are_waiting() -> bool:
            logs = self.folder.glob(".snakemake/slurm_logs/**/*.log")
            return sum("waiting for another process" in log.read_text() for log in logs) == number

        self.wait_for(are_waiting)

    def wait_for_states(self, *states: str) -> list[Job]:
        """Wait until the jobs have these states, and return them."""
        self.wait_for(lambda: [job.state for job in self.jobs()] == list(states))
        return self.jobs()


def ask(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _job(line: str) -> Job:
    number, state, cpus, memory, limit, gpus, comment, *_ = line.split("|")
    days, _, clock = limit.rpartition("-")
    seconds = sum(int(part) * 60**i for i, part in enumerate(reversed(clock.split(":"))))
    return Job(
        number=int(number),
        state=state,
        cpus=int(cpus),
        memory_mb=int(memory.removesuffix("M")),
        minutes=int(days or 0) * 1440 + seconds // 60,
        gpus=int(gpus.rpartition(":")[2]) if "gpu" in gpus else 0,
        rule=comment.removeprefix("rule_").partition("_wildcards_")[0],
    )


def tiny_study(**override: Any) -> dict[str, Any]:
    """Return the config of tests/helpers/tiny.yaml, with some sections changed."""
    study = yaml.safe_load(TINY.read_text(encoding="utf-8"))
    return study | {"runtime": {"device": "cpu"}} | override


def training_study(**override: Any) -> dict[str, Any]:
    """Return a config whose SAVi trains for longer, with some sections changed."""
    study = tiny_study(**override)
    study["savi"]["small"]["training"] |= {"num_steps": NUM_STEPS, "num_threads": 1}
    return study


@pytest.fixture(scope="session", autouse=True)
def slurm_of_its_own() -> None:
    """Refuse a Slurm that others use."""
    config = Path(os.environ.get("SLURM_CONF", ""))
    if not config.is_file() or "ClusterName=one_machine\n" not in config.read_text():
        pytest.fail("these tests run in a Slurm of their own: make test-slurm")


@pytest.fixture
def training(tmp_path: Path) -> Callable[..., Checkout]:
    """Return a function that makes a checkout in which a SAVi is to be trained."""

    def make(**override: Any) -> Checkout:
        return write_training(tmp_path, training_study(**override))

    return make


def write_training(folder: Path, study: dict[str, Any]) -> Checkout:
    from tiny import write_videos  # torch takes seconds that the first jobs can use

    checkout = Checkout(folder, study)
    videos = checkout.folder / "results" / "tiny" / "videos"
    write_videos(videos / "train.h5", num_videos=6)
    write_videos(videos / "val.h5", num_videos=3, first=10)
    return checkout


@pytest.fixture
def left_alone(
    shared_folder: Callable[[str, Callable[[Path], None]], Path],
) -> Callable[[], str]:
    """Return a function that trains outside Slurm, uninterrupted, to the digest of the weights."""

    def build(folder: Path) -> None:
        run = write_training(folder, training_study()).run("train_savi", "--cores", "1")
        assert run.status == 0, run.text

    return lambda: weights(shared_folder("left-alone", build) / "project" / SAVI)["weights_digest"]


def weights(folder: Path) -> dict[str, Any]:
    """Return the checkpoint of a trained SAVi."""
    from ocvp.models.checkpoint import read_checkpoint

    return read_checkpoint(folder / "savi.pt", ("savi",))


def steps_of_sessions(checkpoint: dict[str, Any]) -> list[tuple[int, int]]:
    return [(session["first_step"], session["last_step"]) for session in checkpoint["sessions"]]


def assert_nothing_is_unfinished(folder: Path) -> None:
    """Check that there is no product, and no file that was being written."""
    assert not list(folder.glob("*.pt"))
    assert not [path for path in folder.rglob(".*") if path.is_file()]
    assert list((folder / "resume").glob("state-*.pt")), "what it goes on from"


# Of the study below: cores, memory in MB, minutes, GPUs. In a group, the minutes are those of all
# its jobs together, and the rest is that of its largest job.
OF_SCORES = "draw_comparisons_draw_curves_draw_rollouts_score_predictor"
ASKED = [
    (1, 1000, 3 * 7, 0, "chunks.tiny_make_chunk"),
    (1, 1000, 3 * 90, 0, "videos.tiny_make_videos"),
    (4, 5000, 90, 2, "fit_savi"),  # two processes of two threads
    (2, 4000, 2 * 90, 1, "slot_chunks.tiny.small.1_encode_chunk"),
    (2, 4000, 3 * 90, 1, "slots.tiny.small.1_encode_slots"),
    (2, 4000, 2 * 90, 0, "savi.tiny.small.1_draw_slots_score_savi"),
    (3, 4000, 90, 1, "fit_predictor"),
    (2, 4000, 4 * 90, 0, f"evaluation.tiny.small.1_{OF_SCORES}"),
    (1, 2000, 90, 0, "make_page"),
    (1, 1000, 90, 0, "summarize"),
    (1, 1000, 90, 0, "collect_training_time"),
]
NUM_JOBS = 22


def test_a_whole_study_asks_for_what_the_table_says_and_is_done_then(tmp_path: Path) -> None:
    """Every rule runs, its short jobs in groups, from another folder than the project's.

    Trainings have two processes each, on the CPU: the GPUs that Slurm gives them are none.
    """
    resources = {
        "every_rule": {"runtime": 90},
        "make_chunk": {"runtime": 7},
        "fit_savi": {"gpu": 2, "mem_mb": 5000},
        "fit_predictor": {"gpu": 1, "threads": 3},
        "encode_chunk": {"gpu": 1},
        "encode_slots": {"gpu": 1},
    }
    study = tiny_study(resources=resources, runtime={"processes": 2, "device": "cpu"})
    study["datasets"]["tiny"]["videos_per_chunk"] = 6
    study["study"] |= {"predictors": ["lstm"], "evaluation": ["short"]}
    checkout = Checkout(tmp_path, study)
    work = tmp_path / "work"
    work.mkdir()
    arguments = (*on_slurm(4), "--directory", work)
    process = checkout.start(*arguments)
    checkout.wait_for(lambda: "RUNNING" in [job.state for job in checkout.jobs()])
    assert process.wait(timeout=PATIENCE) == 0, checkout.text

    jobs = checkout.jobs()
    assert {job.state for job in jobs} == {"COMPLETED"}
    assert sorted(job[2:] for job in jobs) == sorted(ASKED)
    assert num_planned(checkout.text) == NUM_JOBS > len(ASKED)
    assert [session["processes"] for session in weights(work / SAVI)["sessions"]] == [2]
    assert (work / "results" / "summary.csv").is_file()
    assert (work / SAVI / "lstm" / "figures" / "short_video0.gif").is_file()
    assert not (checkout.folder / "results").exists()
    again = checkout.run(*arguments)
    assert again.status == 0
    assert "Nothing to be done" in again.text


def num_planned(text: str) -> int:
    """Return the number of jobs in Snakemake's table, without those that only collect."""
    rows = text.partition("Job stats:")[2].partition("\ntotal")[0].splitlines()[3:]
    numbers = dict(row.split() for row in rows if row.strip())
    return sum(int(numbers[rule]) for rule in numbers.keys() & RULES.keys())


def test_a_failing_job_of_a_group_costs_what_its_group_made_and_no_more(tmp_path: Path) -> None:
    """Snakemake deletes the files of a group that fails. Without groups, the rest is made."""
    study = tiny_study()
    study["study"] |= {"predictors": ["lstm", "transformer"], "evaluation": ["short"]}
    checkout = Checkout(tmp_path, study)
    checkout.broken.write_text("transformer/figures")
    assert checkout.run("train_predictor", "prepare_data", "--cores", "1").status == 0

    run = checkout.run("figures", "evaluate_savi", *on_slurm(), "--retries", "0")
    assert (run.status, num_planned(run.text)) == (1, 9), run.text
    assert sorted((job.rule, job.state) for job in checkout.jobs()) == [
        (f"evaluation.tiny.small.1_{OF_SCORES}", "FAILED"),
        ("savi.tiny.small.1_draw_slots_score_savi", "COMPLETED"),
        ("slots.tiny.small.1_encode_slots", "COMPLETED"),  # of the split for tests
    ]
    made = checkout.folder / SAVI
    kept = [made / name for name in ("evaluation.json", "figures/slots.png", "slots/test.h5")]
    kept += [made / name / "predictor.pt" for name in ("lstm", "transformer")]
    times = [path.stat().st_mtime_ns for path in kept]
    scores = [made / name / "evaluation" / "short.json" for name in ("lstm", "transformer")]
    assert not any(path.exists() for path in scores)

    run = checkout.run("figures", *on_slurm(), "--retries", "0", "--groups", "none=none")
    assert (run.status, num_planned(run.text)) == (1, 6), run.text
    pictures = [made / "lstm/figures/short_video0.gif", made / "figures/short_curves.png"]
    assert all(path.exists() for path in scores + pictures)

    checkout.broken.write_text("nothing")
    run = checkout.run("figures", *on_slurm())
    assert (run.status, num_planned(run.text)) == (0, 1), run.text
    assert [path.stat().st_mtime_ns for path in kept] == times


def test_a_training_that_outlives_its_time_limit_goes_on_in_a_longer_one(
    training: Callable[..., Checkout], left_alone: Callable[[], str]
) -> None:
    """Slurm ends it, it saves, and the profile's retries submit it again."""
    checkout = training(resources={"fit_savi": {"runtime": 1}})
    checkout.slow.touch()
    process = checkout.start("train_savi", *on_slurm(22))
    checkout.wait_for_states("TIMEOUT")
    assert_nothing_is_unfinished(checkout.folder / SAVI)
    checkout.slow.unlink()
    assert process.wait(timeout=PATIENCE) == 0, checkout.text
    assert [(job.state, job.minutes) for job in checkout.jobs()] == [
        ("TIMEOUT", 1),
        ("COMPLETED", 2),
    ]
    trained = weights(checkout.folder / SAVI)
    assert trained["weights_digest"] == left_alone()
    (first, last), (next_first, end) = steps_of_sessions(trained)
    assert (first, next_first, end) == (1, last + 1, NUM_STEPS)


def test_ctrl_c_and_scancel_end_a_job_and_what_it_trained_is_kept(
    training: Callable[..., Checkout],
) -> None:
    checkout = training()
    checkout.slow.touch()
    process = checkout.start("train_savi", *on_slurm())
    checkout.wait_for_log("step 2:")
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=PATIENCE) == 1, checkout.text
    checkout.wait_for_states("CANCELLED")
    assert_nothing_is_unfinished(checkout.folder / SAVI)

    process = checkout.start("train_savi", *on_slurm(), "--retries", "0")
    checkout.wait_for_log("going on from step")
    _, job = checkout.wait_for_states("CANCELLED", "RUNNING")
    ask("scancel", str(job.number))
    assert process.wait(timeout=PATIENCE) == 1, checkout.text
    assert f"SLURM-job '{job.number}' failed, SLURM status is: 'CANCELLED'" in checkout.text
    assert_nothing_is_unfinished(checkout.folder / SAVI)


def test_a_failing_job_shows_its_error_and_asks_for_more_up_to_the_bounds(
    training: Callable[..., Checkout],
) -> None:
    """It is tried as often as the profile says, no more: each job runs the program once."""
    bounds = {"max_mem_mb": 7000, "max_runtime": 2500}
    checkout = training(resources={"every_rule": bounds})
    checkout.edit_profile("retries: 2", "retries: 1")
    videos = checkout.folder / "results" / "tiny" / "videos" / "train.h5"
    videos.write_bytes(videos.read_bytes()[:1000])
    run = checkout.run("train_savi", *on_slurm())
    assert run.status == 1
    assert "error: results/tiny/videos/train.h5 is truncated, damaged or no HDF5 file" in run.text
    jobs = checkout.jobs()
    assert [job.state for job in jobs] == ["FAILED"] * 2
    assert [job.memory_mb for job in jobs] == [4000, 7000]
    assert [job.minutes for job in jobs] == [1440, 2500]
    logs = checkout.folder / ".snakemake" / "slurm_logs" / "rule_fit_savi" / "tiny_small_1"
    for job in jobs:
        text = (logs / f"{job.number}.log").read_text()
        assert text.count("\nerror: ") == 1, text


def test_jobs_that_killed_snakemakes_left_in_the_queue_and_running_are_waited_for(
    training: Callable[..., Checkout], left_alone: Callable[[], str]
) -> None:
    """Three jobs train one model: the first does, the others wait and find it trained."""
    checkout = training()
    # The user's partition starts nothing until it is opened.
    checkout.edit_profile("# slurm_partition: my_partition", "slurm_partition: closed")
    checkout.slow.touch()
    process = checkout.start("train_savi", *on_slurm())
    checkout.wait_for_states("PENDING")
    process.kill()
    process.wait()
    assert "--unlock" in checkout.run("train_savi", *on_slurm()).text
    assert checkout.run("--unlock").status == 0

    process = checkout.start("train_savi", *on_slurm())
    checkout.wait_for_states("PENDING", "PENDING")
    ask("scontrol", "update", "partitionname=closed", "state=up")
    checkout.wait_for_waiting_jobs(1)
    process.kill()
    process.wait()
    assert checkout.run("--unlock").status == 0

    process = checkout.start("train_savi", *on_slurm())
    checkout.wait_for_waiting_jobs(2)
    checkout.slow.unlink()
    assert process.wait(timeout=PATIENCE) == 0, checkout.text
    checkout.wait_for_states("COMPLETED", "COMPLETED", "COMPLETED")
    trained = weights(checkout.folder / SAVI)
    assert trained["weights_digest"] == left_alone()
    assert steps_of_sessions(trained) == [(1, NUM_STEPS)]

"""Several processes that train one model: real ones, on gloo, against one process."""

import contextlib
import os
import signal
import subprocess
import time
from unittest import mock

import psutil
import pytest
from tiny import assert_one_error, call, command, predictor_stage, savi_stage
from trainings import (
    curves,
    digests,
    ended,
    holder,
    predictor_arguments,
    savi_arguments,
    start,
    wait_until,
    write_data,
)

from ocvp import train_predictor, train_savi
from ocvp.models.checkpoint import read_checkpoint

pytestmark = pytest.mark.slow  # each test starts several processes

MODULES = {"savi": "ocvp.train_savi", "predictor": "ocvp.train_predictor"}
MAINS = {"savi": train_savi.main, "predictor": train_predictor.main}
ARGUMENTS = {"savi": savi_arguments, "predictor": predictor_arguments}
STEPS = {"num_steps": 20, "warmup_steps": 4}
# Batches of 2, 2 and 1 of five videos: the second process has nothing of its own in the last.
STAGES = {
    "savi": savi_stage({"initializer": "learned_random"}, target={"difference": 0.5}, **STEPS),
    "predictor": predictor_stage("ocvp_seq", {"dropout": 0.0}, **STEPS),
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data"))


def train_alone(kind, data, folder, stage, **runtime):
    assert call(MAINS[kind], *ARGUMENTS[kind](data, folder, stage, **runtime)) == 0


def train_together(kind, data, folder, stage, **runtime):
    arguments = ARGUMENTS[kind](data, folder, stage, processes=2, **runtime)
    status, text = ended(start(MODULES[kind], *arguments, "--log", folder / "log"))
    assert status == 0, text
    return text


@pytest.fixture(scope="module")
def pair(data, tmp_path_factory):
    """Return the folder of a SAVi that two processes trained, and what they printed."""
    folder = tmp_path_factory.mktemp("pair")
    return folder, train_together("savi", data, folder, STAGES["savi"])


def assert_curves_agree(found, expected, tolerance):
    """Check that curves have the same points, and values within a tolerance."""
    assert found.keys() == expected.keys()
    for tag, points in expected.items():
        assert [step for step, _ in found[tag]] == [step for step, _ in points]
        for (step, value), (_, other) in zip(found[tag], points, strict=True):
            assert value == pytest.approx(other, rel=tolerance, abs=tolerance), (tag, step)


def assert_two_train_as_one_does(kind, data, two, one):
    """Check two processes' training against one process's, which is made here."""
    train_alone(kind, data, one, STAGES[kind])
    scalars, images = curves(one)
    found, found_images = curves(two)
    assert len(scalars["train/loss"]) > 8
    assert_curves_agree(found, scalars, 1e-5)
    assert found_images == images, "only the first process draws"
    alone, together = (
        read_checkpoint(folder / f"{kind}.pt", ("savi", "ocvp_seq")) for folder in (one, two)
    )
    assert (alone["examples"], alone["step"]) == (34, 20)
    assert (together["examples"], together["step"]) == (34, 20)
    assert [session["processes"] for session in together["sessions"]] == [2]


def test_two_processes_train_as_one_does(data, pair, tmp_path):
    """The same global batches, one of them divided unevenly; losses over 20 steps."""
    two, text = pair
    assert_two_train_as_one_does("savi", data, two, tmp_path / "one")
    # One warning, one log, one of each file.
    assert text.count("step 12 of 20: ") == 1
    assert (two / "log").read_text().count("INFO trained 20 steps") == 1
    assert {path.name for path in two.iterdir()} - {"log"} == {
        path.name for path in (tmp_path / "one").iterdir()
    }


def test_two_processes_train_a_predictor_as_one_does(data, tmp_path):
    train_together("predictor", data, tmp_path / "two", STAGES["predictor"])
    assert_two_train_as_one_does("predictor", data, tmp_path / "two", tmp_path / "one")


@pytest.mark.parametrize("kind", ["savi", "predictor"])
def test_accumulation_trains_as_whole_batches_do(data, tmp_path, kind):
    stage = STAGES[kind]
    train_alone(kind, data, tmp_path / "whole", stage)
    train_alone(kind, data, tmp_path / "parts", stage, accumulation_steps=2)
    train_alone(kind, data, tmp_path / "single", stage, accumulation_steps=7)
    expected, _ = curves(tmp_path / "whole")
    for name in ("parts", "single"):
        assert_curves_agree(curves(tmp_path / name)[0], expected, 1e-5)


def test_validation_is_reduced_exactly_and_accumulation_goes_with_processes(data, tmp_path):
    """A step of rate 0 leaves the weights alone: then both validate the same model."""
    stage = savi_stage(num_steps=1, warmup_steps=5)
    train_alone("savi", data, tmp_path / "one", stage, batch_videos=1)
    train_together("savi", data, tmp_path / "two", stage, batch_videos=1, accumulation_steps=2)
    assert digests(tmp_path / "one") == digests(tmp_path / "two")
    one, two = (curves(tmp_path / name)[0]["validation/loss"] for name in ("one", "two"))
    assert one == two


def test_with_dropout_the_mean_curves_agree(data, tmp_path):
    stage = predictor_stage("ocvp_seq", {"dropout": 0.2}, num_steps=60, batch_size=5)
    train_alone("predictor", data, tmp_path / "one", stage)
    train_together("predictor", data, tmp_path / "two", stage)
    one, two = (
        [value for _, value in curves(tmp_path / name)[0]["train/loss"]] for name in ("one", "two")
    )
    assert one != two, "each process draws for itself"
    assert sum(two) / len(two) == pytest.approx(sum(one) / len(one), rel=0.02)


def ranks_of(process):
    """Return the processes that a launcher started."""
    return [
        child
        for child in psutil.Process(process.pid).children(recursive=True)
        if "ocvp.train_" in " ".join(child.cmdline())
    ]


def first_of(ranks):
    """Return the process that writes."""
    return next(rank for rank in ranks if rank.environ()["RANK"] == "0")


def start_together(data, folder, **changes):
    """Start two processes, and return the launcher once they have saved something."""
    stage = savi_stage(num_steps=100_000, select="best", **changes)
    runtime = {"processes": 2, "save_interval_minutes": 1e-9}
    arguments = savi_arguments(data, folder, stage, **runtime)
    process = start("ocvp.train_savi", *arguments, "--log", folder / "log")
    wait_until(lambda: len(list((folder / "resume").glob("state-*.pt"))) > 1)
    return process


def gone(processes):
    return all(not p.is_running() or p.status() == psutil.STATUS_ZOMBIE for p in processes)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_launcher_stops_all_and_keeps_what_is_done(data, tmp_path, number):
    process = start_together(data, tmp_path)
    ranks = ranks_of(process)
    assert len(ranks) == 2
    began = time.monotonic()
    process.send_signal(number)
    status, text = ended(process)
    assert time.monotonic() - began < 15
    assert status == 128 + number, text
    assert text.count("the same command goes on from step") == 1
    assert "Traceback" not in text
    wait_until(lambda: gone(ranks), 5)


def test_an_interrupted_pair_ends_with_the_weights_of_one_left_alone(data, pair, tmp_path):
    stage = STAGES["savi"]
    arguments = savi_arguments(data, tmp_path / "broken", stage, processes=2)
    process = start("ocvp.train_savi", *arguments)
    wait_until(lambda: list((tmp_path / "broken" / "resume").glob("state-*.pt")))
    with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):  # it had ended before
        os.kill(first_of(ranks_of(process)).pid, signal.SIGKILL)
    status, text = ended(process)
    assert status in (0, 137), text
    train_together("savi", data, tmp_path / "broken", stage)
    assert digests(tmp_path / "broken") == digests(pair[0])


def test_the_death_of_one_ends_all_and_nothing_is_saved_after_it(data, tmp_path):
    process = start_together(data, tmp_path)
    ranks = ranks_of(process)
    assert holder(tmp_path) == process.pid, "who starts the processes has the lock"
    second = next(rank for rank in ranks if rank.pid != first_of(ranks).pid)
    second.send_signal(signal.SIGSTOP)  # so that the first one is surely waiting for it
    time.sleep(1.0)
    states = sorted(path.name for path in (tmp_path / "resume").iterdir())
    second.kill()
    status, text = ended(process, timeout=60)
    assert status == 137, text
    assert "process 2 of 2 was killed by SIGKILL" in text
    assert sorted(path.name for path in (tmp_path / "resume").iterdir()) == states
    wait_until(lambda: gone(ranks), 5)


def test_more_processes_than_videos_in_a_batch_are_refused(data, tmp_path, capsys):
    assert call(train_savi.main, *savi_arguments(data, tmp_path, processes=3)) == 1
    assert_one_error(capsys.readouterr().err, "processes is 3", "batch_size is 2")


def test_too_few_gpus_are_named_once(data, tmp_path, capsys):
    arguments = savi_arguments(data, tmp_path, processes=2, device="cuda")
    with mock.patch("torch.cuda.device_count", return_value=1):
        assert call(train_savi.main, *arguments) == 1
    assert_one_error(capsys.readouterr().err, "2 processes", "1 CUDA devices", "device: cpu")


def test_a_launcher_that_is_killed_leaves_nobody(data, tmp_path):
    process = start_together(data, tmp_path)
    ranks = ranks_of(process)
    process.kill()
    process.wait(30)
    wait_until(lambda: gone(ranks), 10)


def test_torchrun_itself_can_start_the_processes(data, pair, tmp_path):
    """As on several machines."""
    options = savi_arguments(data, tmp_path, STAGES["savi"])
    python, *arguments = command("ocvp.train_savi", *options)
    run = subprocess.run(
        [
            *(python, "-m", "torch.distributed.run", "--nnodes", "1"),
            *("--nproc-per-node", "2", "--rdzv-backend", "c10d"),
            *("--rdzv-endpoint", "localhost:0", "--rdzv-id", "test"),
            *arguments,
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert digests(tmp_path).keys() == {"savi.pt", "savi.best.pt"}
    assert digests(tmp_path) == digests(pair[0])

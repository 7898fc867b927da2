"""Trainings that are killed, stopped, doubled, extended: real processes, to the same end."""

import contextlib
import itertools
import os
import random
import shutil
import signal
import socket
import threading
import time
from unittest import mock

import forked
import numpy as np
import pytest
import torch
import yaml
from conftest import TINY
from snakemake_runs import run_snakemake
from tiny import assert_one_error, call, predictor_stage, reading_processes, savi_stage
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
from ocvp.batches import read_ahead
from ocvp.batches.stored_field import StoredField
from ocvp.models.checkpoint import read_checkpoint
from ocvp.runtime import interruption
from ocvp.runtime.lock import Lock
from ocvp.training.resume import lock_path

pytestmark = pytest.mark.slow  # each test starts trainings and ends them

ALWAYS = {"save_interval_minutes": 1e-9}
LONG = {"num_steps": 12, "select": "best"}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """A run that was left alone."""
    folder = tmp_path_factory.mktemp("whole")
    status, text = ended(
        start("ocvp.train_savi", *savi_arguments(data, folder, savi_stage(**LONG)))
    )
    assert status == 0, text
    return folder


# --- SIGKILL -------------------------------------------------------------------------------------


def test_killed_in_a_step_while_saving_and_in_validation_it_ends_with_the_same_weights(
    data, whole, tmp_path
):
    """Each kill hits another line; what it had done since it last saved is done again."""
    from_disk = {"residency": "disk", "num_workers": 1}  # its readers die with it
    arguments = savi_arguments(data, tmp_path, savi_stage(**LONG), **ALWAYS, **from_disk)
    moments = [
        {"on": "backward", "call": 2},
        {"on": "sync", "call": 3},  # while a state is being written
        {"on": "rename", "call": 2},  # written, and not yet in its place
        {"on": "validation", "call": 1},
        {"on": "picture", "call": 1},  # of the first validation
        {"on": "remove", "call": 2},  # in its place, and the former ones not removed
        {"on": "backward", "call": 1},
    ]
    for moment in moments:
        status, text = ended(start("ocvp.train_savi", *arguments, at=moment))
        assert status == -signal.SIGKILL, (moment, text)
        assert digests(tmp_path) == {}, "no product of an unfinished training"
    status, text = ended(start("ocvp.train_savi", *arguments))
    assert status == 0, text
    assert "going on from step" in text
    assert digests(tmp_path) == digests(whole)
    assert curves(tmp_path) == curves(whole)
    assert not [path for path in tmp_path.rglob(".*") if path.is_file()], "nothing half-written"


def workflow_folder(finished_study, folder, **override):
    """Make a folder in which only the training of a SAVi is left to do, with an override."""
    for split in ("train", "val"):
        videos = folder / "results" / "tiny" / "videos" / f"{split}.h5"
        videos.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(finished_study.folder / "results" / "tiny" / "videos" / videos.name, videos)
    (folder / "override.yaml").write_text(yaml.dump(override), encoding="utf-8")
    return folder / "results" / "tiny" / "small" / "seed1"


def train_in_workflow(finished_study, folder, *options):
    """Run the workflow's training of a SAVi."""
    return run_snakemake(
        *("train_savi", "--cores", "2", *options),
        *("--configfile", TINY, folder / "override.yaml"),
        folder=folder,
        project=finished_study.project,
        environment=finished_study.environment,
        python=forked.python(),
    )


@pytest.mark.slow
def test_killed_at_random_through_the_workflow_it_ends_with_the_same_weights(
    finished_study, tmp_path
):
    """Snakemake starts the job again (`--retries`), and it goes on."""
    override = {"savi": {"small": {"training": {"num_steps": 100}}}, "runtime": ALWAYS}
    folders = {
        name: workflow_folder(finished_study, tmp_path / name, **override)
        for name in ("killed", "whole")
    }
    kills = []

    def states():
        return {path.name for path in (folders["killed"] / "resume").glob("state-*.pt")}

    def kill_now_and_then():
        chance = random.Random(0)
        for _ in range(3):
            before = states()
            wait_until(lambda before=before: states() - before, 120)  # it saved something
            time.sleep(chance.uniform(0.0, 1.0))
            if pid := holder(folders["killed"]):
                with contextlib.suppress(ProcessLookupError):  # it had ended just before
                    os.kill(pid, signal.SIGKILL)
                    kills.append(pid)
                wait_until(lambda pid=pid: holder(folders["killed"]) != pid, 120)

    threading.Thread(target=kill_now_and_then, daemon=True).start()
    killed = train_in_workflow(finished_study, tmp_path / "killed", "--retries", "9")
    whole = train_in_workflow(finished_study, tmp_path / "whole")
    assert (killed.status, whole.status) == (0, 0), killed.text + whole.text
    assert kills, killed.text
    assert killed.text.count("Trying to restart job") == len(kills)
    assert "going on from step" in killed.text
    assert digests(folders["killed"]) == digests(folders["whole"])
    assert curves(folders["killed"]) == curves(folders["whole"])


@pytest.mark.slow
def test_a_job_of_the_workflow_waits_and_has_as_many_processes_as_gpus(finished_study, tmp_path):
    """Of a rule's two GPUs two processes are made, here on the CPU."""
    override = {"resources": {"fit_savi": {"gpu": 2}}, "runtime": {"device": "cpu"}}
    folder = workflow_folder(finished_study, tmp_path, **override)
    folder.mkdir(parents=True)
    log = tmp_path / "logs/results/tiny/small/seed1/savi.pt/fit_savi.log"
    lock = Lock(lock_path(folder / "resume"))
    was_told = threading.Event()

    def release_when_told():
        wait_until(lambda: log.is_file() and "waiting for" in log.read_text())
        was_told.set()
        lock.release()

    threading.Thread(target=release_when_told, daemon=True).start()
    run = train_in_workflow(finished_study, tmp_path, "--resources", "gpu=2")
    assert run.status == 0, run.text
    assert was_told.is_set()
    assert f"waiting for another process (host {socket.gethostname()}, process {os.getpid()}" in (
        run.text
    )
    sessions = read_checkpoint(folder / "savi.pt", ("savi",))["sessions"]
    assert [session["processes"] for session in sessions] == [2]


# --- signals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "status", "moment"),
    [
        (signal.SIGTERM, 143, "step"),
        (signal.SIGINT, 130, "validation"),
        pytest.param(signal.SIGTERM, 143, "validation", marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, 130, "step", marks=pytest.mark.slow),
    ],
)
def test_a_signal_lets_the_step_end_and_what_is_done_is_kept(
    data, whole, tmp_path, number, status, moment
):
    """The signals of a launcher that follow within 2 seconds change nothing."""
    arguments = savi_arguments(data, tmp_path, savi_stage(**LONG))
    at = {"on": {"step": "backward"}.get(moment, moment), "call": 2}
    at |= {"sleep": 1.5, "file": str(tmp_path / "now")}
    process = start("ocvp.train_savi", *arguments, at=at)
    wait_until((tmp_path / "now").exists)
    began = time.monotonic()
    for _ in range(3):
        process.send_signal(number)
        time.sleep(0.2)
    found, text = ended(process)
    assert time.monotonic() - began < 10
    assert found == status, text
    assert "Traceback" not in text
    step = 2 if moment == "step" else 6  # an epoch has 3 steps
    assert f"stopped after step {step} of 12; the same command goes on from step {step}" in text
    assert digests(tmp_path) == {}
    assert call(train_savi.main, *arguments) == 0
    assert digests(tmp_path) == digests(whole)
    assert curves(tmp_path) == curves(whole)


def test_a_second_signal_later_on_stops_at_once(data, tmp_path):
    arguments = savi_arguments(data, tmp_path, savi_stage(**LONG))
    at = {"on": "backward", "call": 5, "sleep": 60, "file": str(tmp_path / "now")}
    process = start("ocvp.train_savi", *arguments, at=at)
    wait_until((tmp_path / "now").exists)
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    time.sleep(3.5)
    assert process.poll() is None, "the first signal waits for the step"
    process.send_signal(signal.SIGTERM)
    status, text = ended(process)
    assert status == 143, text
    assert time.monotonic() - began < 20
    assert "stopped at once; the same command goes on" in text


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_signal_ends_a_step_that_waits_for_its_data_in_vain(
    data, whole, tmp_path, monkeypatch, capsys, split
):
    """The process that reads asks for the end, and never answers."""
    read, parent, calls = StoredField.read, os.getpid(), itertools.count(1)

    def hang(field, stretches, length):
        if os.getpid() != parent and field.path.stem == split and next(calls) == 3:
            time.sleep(0.7)  # by then it is waited for
            os.kill(parent, signal.SIGTERM)
            time.sleep(60)
        return read(field, stretches, length)

    runtime = {"residency": "disk", "num_workers": 1, "batch_videos": 1}
    arguments = savi_arguments(data, tmp_path, savi_stage(**LONG), **runtime)
    with monkeypatch.context() as patch:
        patch.setattr(StoredField, "read", hang)
        patch.setattr(read_ahead, "POLL_SECONDS", 0.05)
        patch.setattr(interruption, "OVERDUE_SECONDS", 0.1)
        assert call(train_savi.main, *arguments) == 143
    text = capsys.readouterr().err
    assert f"{data / split}.h5 cannot be read" in text
    step = {"train": 1, "val": 3}[split]  # frames and boxes of a batch are read apart
    assert f"stopped after step {step} of 12; the same command goes on from step {step}" in text
    assert not reading_processes()
    assert call(train_savi.main, *arguments) == 0
    assert digests(tmp_path) == digests(whole)


# --- two at a time -------------------------------------------------------------------------------


def test_a_second_process_refuses_or_waits_and_a_dead_one_does_not_count(data, whole, tmp_path):
    arguments = savi_arguments(data, tmp_path, savi_stage(**LONG))
    at = {"on": "backward", "call": 4, "sleep": 60, "file": str(tmp_path / "now")}
    first = start("ocvp.train_savi", *arguments, at=at)
    wait_until((tmp_path / "now").exists)
    assert holder(tmp_path) == first.pid
    status, text = ended(start("ocvp.train_savi", *arguments))
    assert status == 1
    assert_one_error(text, f"process {first.pid}", socket.gethostname())
    waiting = start("ocvp.train_savi", *arguments, "--wait", "--log", tmp_path / "log")
    wait_until(
        lambda: (
            "waiting for" in (tmp_path / "log").read_text()
            if (tmp_path / "log").exists()
            else False
        )
    )
    time.sleep(0.5)
    assert waiting.poll() is None
    first.kill()
    ended(first)
    status, text = ended(waiting)
    assert status == 0, text
    assert f"process {first.pid}" in text
    log = (tmp_path / "log").read_text()
    assert log.index("waiting for") < log.index("data: "), "it took no memory while it waited"
    told = (tmp_path / "training.log").read_text()
    assert told.count("going on from step") == 1
    assert told.count("trained 12 steps") == 1
    assert digests(tmp_path) == digests(whole)


# --- finished runs -------------------------------------------------------------------------------


def test_a_deleted_product_is_written_again_without_a_step(data, tmp_path, capsys):
    arguments = savi_arguments(data, tmp_path)
    assert call(train_savi.main, *arguments) == 0
    # To the byte: what was made of them is not stale, though the files are newer.
    before = {path: path.read_bytes() for path in tmp_path.glob("*.pt")}
    for path in before:
        path.unlink()
    with mock.patch("ocvp.training.loop.train_step", side_effect=AssertionError("a step")):
        assert call(train_savi.main, *arguments) == 0
    assert {path: path.read_bytes() for path in tmp_path.glob("*.pt")} == before
    assert "complete already" in capsys.readouterr().err


@pytest.mark.parametrize("program", ["savi", "predictor"])
def test_an_extended_run_ends_like_a_long_one(data, tmp_path, capsys, program):
    """With a constant rate, which does not depend on the length."""
    main, arguments_of, stage_of = {
        "savi": (train_savi.main, savi_arguments, savi_stage),
        "predictor": (train_predictor.main, predictor_arguments, predictor_stage),
    }[program]

    def arguments(name, num_steps, **changes):
        stage = stage_of(num_steps=num_steps, schedule="constant", **changes)
        return arguments_of(data, tmp_path / name, stage)

    # 4 steps end within the second epoch
    assert call(main, *arguments("extended", 4)) == 0
    capsys.readouterr()
    assert call(main, *arguments("extended", 9), "--extend") == 0
    assert "going on from step 4 of 9" in capsys.readouterr().err
    assert call(main, *arguments("whole", 9)) == 0
    assert digests(tmp_path / "extended") == digests(tmp_path / "whole")
    checkpoint = read_checkpoint(tmp_path / f"extended/{program}.pt", ("savi", "lstm"))
    assert checkpoint["extended_from"] == [4]
    assert checkpoint["step"] == 9

    # It is the run of 9 steps now: nothing to do, whoever asks; a shorter one is refused.
    assert call(main, *arguments("extended", 9)) == 0
    assert "complete already" in capsys.readouterr().err
    assert call(main, *arguments("extended", 8), "--extend") == 1
    assert "9 are done already" in capsys.readouterr().err
    assert call(main, *arguments("extended", 9)) == 0, "what was refused changed nothing"
    # What is not about the length is another run.
    other = arguments("extended", 9, learning_rate=2e-3)
    capsys.readouterr()
    assert call(main, *other, "--extend") == 1
    assert "--extend allows only training.num_steps" in capsys.readouterr().err
    assert call(main, *other) == 0
    assert "starting anew (changed: config training.learning_rate" in capsys.readouterr().err
    assert (tmp_path / "extended" / "resume-old1").is_dir()


def test_the_workflow_extends_by_its_config(data, tmp_path):
    stage = savi_stage(num_steps=3, schedule="constant")
    assert call(train_savi.main, *savi_arguments(data, tmp_path, stage)) == 0
    stage = savi_stage(num_steps=6, schedule="constant")
    assert call(train_savi.main, *savi_arguments(data, tmp_path, stage, extend=True)) == 0
    assert read_checkpoint(tmp_path / "savi.pt", ("savi",))["extended_from"] == [3]


def test_fresh_trains_anew_to_the_same_weights(data, tmp_path, capsys):
    arguments = savi_arguments(data, tmp_path)
    assert call(train_savi.main, *arguments) == 0
    before = digests(tmp_path)
    capsys.readouterr()
    assert call(train_savi.main, *arguments, "--fresh") == 0
    text = capsys.readouterr().err
    assert "--fresh was given" in text
    assert "trained 6 steps" in text
    assert digests(tmp_path) == before
    assert (tmp_path / "resume-old1").is_dir()


def test_no_generators_state_matters(data, tmp_path):
    """Every draw is a function of the seed and the step, whatever state a library is in."""
    arguments = savi_arguments(data, tmp_path / "one", savi_stage({"initializer": "random"}))
    assert call(train_savi.main, *arguments) == 0
    random.seed(5)
    np.random.seed(5)
    torch.manual_seed(5)
    arguments = savi_arguments(data, tmp_path / "two", savi_stage({"initializer": "random"}))
    assert call(train_savi.main, *arguments) == 0
    assert digests(tmp_path / "one") == digests(tmp_path / "two")

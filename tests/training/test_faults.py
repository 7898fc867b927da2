"""What goes wrong in trainings, each fault produced for real."""

import json
import os
import shutil

import h5py
import numpy as np
import pytest
import torch
from test_training import Toy, train_toy
from tiny import assert_one_error, call, predictor_stage, savi_stage, small_disk
from trainings import (
    curves,
    digests,
    ended,
    predictor_arguments,
    savi_arguments,
    start,
    wait_until,
    write_data,
)

from ocvp import train_predictor, train_savi
from ocvp.training.faults import is_out_of_memory
from ocvp.training.resume import ResumeFolder


@pytest.fixture
def data(tmp_path):
    return write_data(tmp_path / "data")


# --- values that are not finite ------------------------------------------------------------------


def poisoned(number):
    """Return a toy whose loss is NaN in one of the calls of `losses`, counted over recoveries."""
    task = Toy(num_videos=6)  # an epoch has 3 steps

    def before_step(step):
        task.scale = float("nan") if step == number else 1.0

    task.before_step = before_step
    return task


def test_without_recoveries_the_step_the_parts_and_the_last_good_state_are_named(tmp_path):
    with pytest.raises(ValueError, match="stopped being finite") as caught:
        train_toy(poisoned(4), tmp_path, {"num_steps": 9})
    for part in ("step 5, learning rate 0.5", "loss nan, twice nan, gradient_norm nan"):
        assert part in str(caught.value)
    where = tmp_path / "resume"
    assert f"the last good state, of step 3, is in {where}" in str(caught.value)


@pytest.mark.parametrize("runtime", [{}, {"save_interval_minutes": 1e-9}])
def test_a_recovery_goes_back_to_the_end_of_an_epoch_with_a_lower_rate(tmp_path, caplog, runtime):
    """However often the clock asked for a save. Adam moves the toy's weight by the rate."""
    changes = {"num_steps": 6, "learning_rate": 0.1, "recoveries": 2, "recovery_factor": 0.5}
    task = poisoned(4)
    state = train_toy(task, tmp_path, changes, **runtime)
    assert task.seen[3:] == [(1, 2)] * 5, "two steps of the second epoch, and then all three"
    assert task.module.weight.item() == pytest.approx(3 * 0.1 + 3 * 0.05, abs=1e-4)
    assert (state.step, state.recoveries, state.rate_factor) == (6, 1, 0.5)
    assert "going back to step 3, with 0.5 times the learning rate (recovery 1 of 2)" in caplog.text
    scalars, _ = curves(tmp_path)
    assert [step for step, _ in scalars["validation/loss"]] == [3, 6]
    rates = dict(scalars["train/learning_rate"])
    assert rates == pytest.approx({1: 0.1, 3: 0.1, 6: 0.05})


def test_a_first_epoch_goes_back_to_the_initial_weights(tmp_path):
    task = poisoned(1)
    state = train_toy(task, tmp_path, {"num_steps": 3, "learning_rate": 0.1, "recoveries": 1})
    assert task.module.weight.item() == pytest.approx(3 * 0.05, abs=1e-4)
    assert (state.step, state.recoveries) == (3, 1)


def test_recoveries_are_limited_also_over_restarts(tmp_path, caplog):
    changes = {"num_steps": 6, "learning_rate": 0.1, "recoveries": 2}
    for _ in range(2):
        task = Toy(num_videos=6)
        task.before_step = lambda step, task=task: setattr(
            task, "scale", float("nan") if task.module.weight.item() > 0.22 else 1.0
        )
        with pytest.raises(ValueError, match="after 2 recoveries; the last good state"):
            train_toy(task, tmp_path, changes)
    assert caplog.text.count("going back to step") == 2


def test_recoveries_that_are_allowed_afterwards_go_on_with_the_run(tmp_path, caplog):
    """ResumeFolder's fingerprint leaves them out (tests/training/test_resume.py)."""
    with pytest.raises(ValueError, match=r"with a larger training.recoveries the same command"):
        train_toy(poisoned(4), tmp_path, {"num_steps": 6, "learning_rate": 0.1})
    task = poisoned(1)  # it goes on with the second epoch
    state = train_toy(task, tmp_path, {"num_steps": 6, "learning_rate": 0.1, "recoveries": 1})
    assert "going back to step 3" in caplog.text
    assert (state.step, state.recoveries) == (6, 1)
    assert task.module.weight.item() == pytest.approx(3 * 0.1 + 3 * 0.05, abs=1e-4)


def test_a_recovered_run_that_is_killed_ends_the_same(tmp_path):
    """The recovery is part of what is saved."""
    changes = {"num_steps": 12, "learning_rate": 0.1, "recoveries": 1}
    whole = poisoned(4)
    train_toy(whole, tmp_path / "whole", changes)
    broken = poisoned(4)
    inner = broken.before_step

    def before_step(step):
        inner(step)
        if step == 9:
            raise RuntimeError

    broken.before_step = before_step
    with pytest.raises(RuntimeError):
        train_toy(broken, tmp_path / "broken", changes)
    again = Toy(num_videos=6)
    state = train_toy(again, tmp_path / "broken", changes)
    assert torch.equal(again.module.weight, whole.module.weight)
    assert state.recoveries == 1


def test_a_poisoned_sample_is_named_and_not_recovered_from(data, tmp_path, capsys):
    with h5py.File(data / "slots/train.h5", "r+") as file:
        file["slots"][3, :, 1, 2] = np.nan
    stage = predictor_stage(recoveries=3)
    assert call(train_predictor.main, *predictor_arguments(data, tmp_path / "out", stage)) == 1
    text = capsys.readouterr().err
    assert_one_error(text, f"{data}/slots/train.h5: slots of video 3 are not finite")
    assert "going back" not in text


def test_a_poisoned_validation_sample_is_named(data, tmp_path, capsys):
    with h5py.File(data / "slots/val.h5", "r+") as file:
        file["slots"][1, :, 1, 2] = np.inf
    assert call(train_predictor.main, *predictor_arguments(data, tmp_path / "out")) == 1
    assert_one_error(capsys.readouterr().err, "slots/val.h5: slots of video 1 are not finite")


# --- full disks ----------------------------------------------------------------------------------


def test_a_disk_that_fills_up_leaves_what_was_saved_and_says_how_much_is_needed(data, tmp_path):
    stage = savi_stage(num_steps=9)
    with small_disk(tmp_path / "disk", 9000) as disk:
        arguments = savi_arguments(data, disk / "out", stage)
        at = {"on": "backward", "call": 5, "sleep": 1.5, "file": str(tmp_path / "now")}
        process = start("ocvp.train_savi", *arguments, at=at)
        wait_until((tmp_path / "now").exists)
        fill(disk)
        status, text = ended(process)
        assert status == 1, text
        assert_one_error(text, "no space left for", "MB are needed", "run the same command again")
        resume = ResumeFolder(disk / "out" / "resume", json.loads(fingerprint_of(disk)))
        assert resume.read()["state"]["step"] == 3
        (disk / "filler").unlink()
        assert call(train_savi.main, *arguments) == 0
        found = digests(disk / "out")
    assert call(train_savi.main, *savi_arguments(data, tmp_path / "whole", stage)) == 0
    assert found == digests(tmp_path / "whole")


def fill(disk):
    """Write until no state fits any more, but pictures for TensorBoard do."""
    with (disk / "filler").open("wb", buffering=0) as filler:
        while shutil.disk_usage(disk).free > 200_000:
            filler.write(bytes(4096))


def fingerprint_of(disk):
    return (disk / "out" / "resume" / "fingerprint.json").read_text(encoding="utf-8")


# --- memory --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes", True),
        ("could not create a primitive", True),
        ("std::bad_alloc", True),
        ("mat1 and mat2 shapes cannot be multiplied", False),
    ],
)
def test_lack_of_memory_is_known_by_what_libraries_say(text, expected):
    assert is_out_of_memory(RuntimeError(text)) is expected


@pytest.mark.parametrize(
    "runtime", [{}, pytest.param({"accumulation_steps": 2}, marks=pytest.mark.slow)]
)
def test_lack_of_memory_names_what_to_change(data, tmp_path, runtime):
    """A limit of the address space, set when the first step begins."""
    stage = savi_stage({"decoder_channels": [64, 64]}, batch_size=5, clip_length=8, num_steps=9)
    arguments = savi_arguments(data, tmp_path / "out", stage, **runtime)
    at = {"on": "losses", "call": 1, "memory": 1}
    status, text = ended(start("ocvp.train_savi", *arguments, at=at))
    assert status == 1, text
    parts = runtime.get("accumulation_steps", 1)
    assert_one_error(
        text,
        "out of memory in step",
        "training.batch_size 5, training.clip_length 8",
        f"runtime.accumulation_steps {parts}",
        f"{2 * parts} for example",
    )


@pytest.mark.slow
def test_lack_of_memory_in_a_validation_keeps_its_epoch(data, tmp_path):
    stage = savi_stage({"decoder_channels": [64, 64]}, batch_size=1, clip_length=3, num_steps=5)
    arguments = savi_arguments(data, tmp_path / "out", stage)
    at = {"on": "validation", "call": 1, "memory": 1}
    status, text = ended(start("ocvp.train_savi", *arguments, at=at))
    assert status == 1, text
    assert_one_error(text, "in the validation after step 5", "runtime.batch_videos 16")
    status, text = ended(start("ocvp.train_savi", *arguments))
    assert status == 0, text
    assert "going on from step 5 of 5" in text


# --- files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "num_workers"),
    [
        ("truncated", 0),
        ("gone", 2),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in [("gone", 0), ("truncated", 2), ("replaced", 0), ("replaced", 2)]
        ),
    ],
)
def test_a_file_that_is_gone_or_damaged_is_named(data, tmp_path, capsys, fault, num_workers):
    """It was whole when the training started."""
    stage = savi_stage(num_steps=30)
    runtime = {"residency": "disk", "num_workers": num_workers}
    arguments = savi_arguments(data, tmp_path / "out", stage, **runtime)
    at = {"on": "backward", "call": 4, "sleep": 1.0, "file": str(tmp_path / "now")}
    process = start("ocvp.train_savi", *arguments, at=at)
    wait_until((tmp_path / "now").exists)
    path = data / "train.h5"
    if fault == "gone":
        path.unlink()
    elif fault == "truncated":
        os.truncate(path, 2000)
    else:
        copy = data / "copy.h5"
        shutil.copy2(path, copy)
        copy.replace(path)
    status, text = ended(process)
    if status == 0:
        pytest.fail("the training did not read the file again")
    assert status == 1, text
    assert_one_error(text, path)

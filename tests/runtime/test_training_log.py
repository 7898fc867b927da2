"""What TensorBoard reads back, after kills, restarts and full disks as well."""

import contextlib
import io
import logging
import multiprocessing
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny import quiet_environment, small_disk

from ocvp.runtime.event_file import LARGE_BYTES, event_files, names_at
from ocvp.runtime.training_log import TrainingLog

RED = np.full((6, 10, 3), (255, 0, 0), np.uint8)


@pytest.fixture(autouse=True)
def _quiet_tensorboard(caplog):
    caplog.set_level(logging.ERROR, "tensorboard")  # it tells of every run that resumed


def read(folder):
    """Return the points (step, value) of each curve and the steps of each picture."""
    events = EventAccumulator(str(folder), {"scalars": 0, "images": 0}).Reload()
    tags = events.Tags()
    curves = {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in tags["scalars"]}
    return curves, {tag: [e.step for e in events.Images(tag)] for tag in tags["images"]}


def noise(side, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


def test_points_and_pictures_are_read_back(tmp_path):
    picture = noise(32)
    with TrainingLog(tmp_path / "new" / "tensorboard", 0) as log:
        log.scalars("train", {"loss": 0.5, "rate": np.float32(0.25)}, 1)
        log.scalars("train", {"loss": float("nan")}, 2)
        log.scalars("train", {}, 3)
        log.images({"slots": picture, "rollout": RED}, 2)
    folder = tmp_path / "new" / "tensorboard"
    curves, pictures = read(folder)
    assert curves["train/rate"] == [(1, 0.25)]
    assert curves["train/loss"][0] == (1, 0.5)
    assert np.isnan(curves["train/loss"][1][1])
    assert pictures == {"slots": [2], "rollout": [2]}
    event = EventAccumulator(str(folder)).Reload().Images("slots")[0]
    assert (event.width, event.height) == (32, 32)
    assert abs(event.wall_time - time.time()) < 60
    stored = np.array(Image.open(io.BytesIO(event.encoded_image_string)))
    assert np.array_equal(stored, picture)


# --- going on -----------------------------------------------------------------------------------

KILLED = """
import os, signal, sys
import numpy as np
from pathlib import Path
from ocvp.runtime.training_log import TrainingLog

log = TrainingLog(Path(sys.argv[1]), 0)
for step in range(1, 26):
    log.scalars("train", {"loss": step, "rate": step / 2}, step)
    if step % 10 == 0:
        log.scalars("validation", {"loss": step}, step)
        log.images({"slots": np.zeros((8, 8, 3), np.uint8)}, step)
    if step == 20:
        log.flush()
print("ready", flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def killed_run(folder):
    """Write up to step 20, flush, go on to step 25, and be killed."""
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(folder)],
        env=quiet_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "ready\n"), done.stderr


@pytest.mark.parametrize("num_cut", [0, 1, 3, 8, 13, 20])
def test_a_killed_run_loses_no_point_before_the_flush_and_goes_on_without_a_double(
    tmp_path, num_cut
):
    killed_run(tmp_path)
    curves, pictures = read(tmp_path)
    steps = [(step, float(step)) for step in range(1, 21)]
    assert curves["train/loss"][:20] == steps
    assert curves["validation/loss"] == [(10, 10.0), (20, 20.0)]
    assert pictures == {"slots": [10, 20]}
    # Further points, of which the last was half written.
    with TrainingLog(tmp_path, 20) as log:
        log.scalars("train", {"loss": -21.0}, 21)
        log.scalars("train", {"loss": -22.0}, 22)
    last = event_files(tmp_path)[-1]
    os.truncate(last, last.stat().st_size - num_cut)
    curves, _ = read(tmp_path)
    assert curves["train/loss"] == [*steps, (21, -21.0), (22, -22.0)][: 21 + (num_cut == 0)]
    # From the flush on again.
    with TrainingLog(tmp_path, 20) as log:
        for step in range(21, 31):
            log.scalars("train", {"loss": 100 + step, "rate": step / 2}, step)
        log.scalars("validation", {"loss": 130}, 30)
    curves, pictures = read(tmp_path)
    assert curves["train/loss"] == steps + [(step, 100.0 + step) for step in range(21, 31)]
    assert curves["train/rate"] == [(step, step / 2) for step in range(1, 31)]
    assert curves["validation/loss"] == [(10, 10.0), (20, 20.0), (30, 130.0)]
    assert pictures == {"slots": [10, 20]}


def test_a_validation_that_is_repeated_after_a_kill_has_one_point(tmp_path):
    # The state was saved at step 20, before the validation; the points of that were written, and
    # the run was killed before it was saved again.
    large = noise(128)
    with TrainingLog(tmp_path, 0) as log:
        log.scalars("train", {"loss": 19}, 19)
        log.scalars("train", {"loss": 20}, 20)
        log.scalars("validation", {"loss": 5}, 20)
        log.images({"slots": large}, 20)
    assert event_files(tmp_path)[0].stat().st_size > LARGE_BYTES
    for _ in range(2):
        with TrainingLog(tmp_path, 20) as log:
            log.scalars("validation", {"loss": 5, "other": 6}, 20)
            log.images({"slots": large, "more": RED}, 20)
            log.scalars("train", {"loss": 21}, 21)
    curves, pictures = read(tmp_path)
    assert curves == {
        "train/loss": [(19, 19.0), (20, 20.0), (21, 21.0)],
        "validation/loss": [(20, 5.0)],
        "validation/other": [(20, 6.0)],
    }
    assert pictures == {"slots": [20], "more": [20]}


@pytest.mark.parametrize("back", [10, 19])
def test_a_point_that_became_void_is_written_again(tmp_path, back):
    with TrainingLog(tmp_path, 0) as log:
        log.scalars("validation", {"loss": 1}, 20)
    with TrainingLog(tmp_path, back) as log:  # it went back, and was killed at step 20
        log.scalars("train", {"loss": 2}, 20)
    assert names_at(tmp_path, 20) == {"train/loss"}
    with TrainingLog(tmp_path, 20) as log:
        log.scalars("validation", {"loss": 3}, 20)
    assert read(tmp_path)[0] == {"train/loss": [(20, 2.0)], "validation/loss": [(20, 3.0)]}


def test_going_back_within_a_run_drops_the_later_points(tmp_path):
    with TrainingLog(tmp_path, 0) as log:
        for step in range(1, 41):
            log.scalars("train", {"loss": step}, step)
            if step % 10 == 0:
                log.images({"slots": RED}, step)
        log.restart(20)
        log.images({"slots": RED}, 20)  # is there already
        log.scalars("train", {"loss": -25}, 25)
        log.flush()
        curves, pictures = read(tmp_path)
        assert curves["train/loss"] == [*((s, float(s)) for s in range(1, 21)), (25, -25.0)]
        assert pictures == {"slots": [10, 20]}
        log.restart(0)
        log.restart(0)
        log.scalars("train", {"loss": -1}, 1)
    assert read(tmp_path) == ({"train/loss": [(1, -1.0)]}, {"slots": []})
    with TrainingLog(tmp_path, 1) as log:
        log.scalars("train", {"loss": -2}, 2)
        log.restart(1)
        log.scalars("train", {"loss": -3}, 2)
    assert read(tmp_path)[0] == {"train/loss": [(1, -1.0), (2, -3.0)]}


def test_a_folder_of_many_runs_within_a_second_is_read_in_their_order(tmp_path):
    for run in range(12):
        with TrainingLog(tmp_path, run) as log:
            log.scalars("train", {"loss": 100 * run + run + 1}, run + 1)
            log.scalars("train", {"loss": -1}, run + 2)  # each run loses its last point
    names = [path.name for path in event_files(tmp_path)]
    assert names == sorted(names)
    assert len(names) == 12
    assert read(tmp_path)[0]["train/loss"][:-1] == [(r + 1, 100.0 * r + r + 1) for r in range(12)]


def test_a_clock_that_was_put_back_does_not_change_the_order(tmp_path):
    ahead = f"events.out.tfevents.{int(time.time()) + 86400}.zzz.99999.9"
    with TrainingLog(tmp_path, 0) as log:
        log.scalars("train", {"loss": 1}, 1)
        log.scalars("train", {"loss": 2}, 2)
    event_files(tmp_path)[0].rename(tmp_path / ahead)
    with TrainingLog(tmp_path, 1) as log:
        log.scalars("train", {"loss": 3}, 2)
    assert event_files(tmp_path)[0].name == ahead
    assert socket.gethostname() in event_files(tmp_path)[1].name
    assert read(tmp_path)[0] == {"train/loss": [(1, 1.0), (2, 3.0)]}


def test_files_that_torch_wrote_are_continued(tmp_path):
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(tmp_path)) as writer:
        for step in (1, 2, 3):
            writer.add_scalar("train/loss", step, step)
    assert names_at(tmp_path, 2) == {"train/loss"}
    with TrainingLog(tmp_path, 2) as log:
        log.scalars("train", {"loss": 7}, 2)
        log.scalars("train", {"loss": 8}, 3)
    assert read(tmp_path)[0] == {"train/loss": [(1, 1.0), (2, 2.0), (3, 8.0)]}


@pytest.mark.parametrize("content", [b"", b"\0" * 4096, b"\xff" * 4096, b"no record at all"])
def test_a_file_that_is_no_event_file_does_not_stop_a_training(tmp_path, content):
    (tmp_path / "events.out.tfevents.1.host.1.0").write_bytes(content)
    with TrainingLog(tmp_path, 3) as log:
        log.scalars("train", {"loss": 4}, 4)
    assert names_at(tmp_path, 4) == {"train/loss"}


# --- writing ------------------------------------------------------------------------------------


def test_a_flush_reaches_the_file_at_once_and_points_do_so_by_themselves(tmp_path, monkeypatch):
    with TrainingLog(tmp_path, 0) as log:
        log.scalars("train", {"loss": 1}, 1)
        log.flush()
        assert read(tmp_path)[0] == {"train/loss": [(1, 1.0)]}
        log.scalars("train", {"loss": 2}, 2)
        assert read(tmp_path)[0] == {"train/loss": [(1, 1.0)]}
        now = time.monotonic
        monkeypatch.setattr(time, "monotonic", lambda: now() + 6)
        log.scalars("train", {"loss": 3}, 3)
        assert read(tmp_path)[0]["train/loss"][-1] == (3, 3.0)


def test_processes_that_are_forked_write_nothing_twice(tmp_path):
    # As those are that read data ahead.
    with TrainingLog(tmp_path, 0) as log:
        log.scalars("train", {"loss": 1}, 1)
        child = multiprocessing.get_context("fork").Process(target=print)
        child.start()
        child.join()
        assert child.exitcode == 0
        log.scalars("train", {"loss": 2}, 2)
    assert read(tmp_path)[0] == {"train/loss": [(1, 1.0), (2, 2.0)]}


def test_a_disabled_log_has_all_methods_and_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with TrainingLog.disabled() as log:
        log.scalars("train", {"loss": 1}, 1)
        log.images({"slots": RED}, 1)
        log.flush()
        log.restart(0)
    assert list(tmp_path.iterdir()) == []


def write_much(folder):
    with TrainingLog(folder, 0) as log:
        for step in range(1, 100):
            log.images({"slots": noise(128, step)}, step)


def test_a_full_disk_is_told_as_such(tmp_path):
    with small_disk(tmp_path / "disk", 300) as disk:
        folder = disk / "tensorboard"
        with pytest.raises(OSError, match=f"no space left for {folder}"):
            write_much(folder)
        _, pictures = read(folder)
        assert pictures["slots"][:3] == [1, 2, 3]


def test_a_file_that_may_not_grow_is_told_as_a_full_disk(tmp_path):
    # It needs no rights, unlike a disk.
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
    try:
        with pytest.raises(OSError, match=f"no space left for {tmp_path}"):
            write_much(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("error", [OSError, ZeroDivisionError])
def test_what_stopped_a_training_is_not_hidden_by_a_full_disk(tmp_path, error):
    with small_disk(tmp_path / "disk", 60) as disk:

        def fill_and_fail():
            with TrainingLog(disk / "tensorboard", 0) as log:
                with contextlib.suppress(OSError):
                    (disk / "filler").write_bytes(bytes(60 * 1024))
                log.scalars("train", {f"loss{i}": 1 for i in range(1000)}, 1)
                if error is ZeroDivisionError:
                    raise ZeroDivisionError

        with pytest.raises(error):
            fill_and_fail()


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=f"cannot write {tmp_path / 'file' / 'tensorboard'}"):
        TrainingLog(tmp_path / "file" / "tensorboard", 0)


def test_the_log_needs_no_torch():
    code = "import ocvp.runtime.training_log, sys; print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path("/")
    )
    assert done.stdout.strip() == "False"

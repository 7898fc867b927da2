"""The figures of tabletop files: contacts, visible objects, motion."""

import json
from dataclasses import asdict

import numpy as np
import pytest

from ocvp.config.datasets import TabletopDataset
from ocvp.data.conversion import make_chunk
from ocvp.data.tabletop.scene import camera_of
from ocvp.data.videos import Video, VideoWriter
from ocvp.tabletop_contacts import describe, main, read_events


def write(path, contacts, boxes, states):
    """Write one video, whose object heights and widths do not matter."""
    frames = np.zeros((len(contacts), 32, 32, 3), np.uint8)
    arrays = {"frames": frames, "boxes": boxes, "states": states, "contacts": contacts}
    attributes = {"split": "test", "camera": json.dumps(asdict(camera_of((32, 32))))}
    with VideoWriter(path, num_videos=1, attributes=attributes) as writer:
        writer.append(Video("toy", arrays))
    return path


@pytest.fixture
def toy(tmp_path):
    """Object 0 moves 3 pixels to the right in the third step, object 1 is hidden from then on."""
    camera = camera_of((32, 32))
    states = np.zeros((4, 2, 13), np.float32)
    # Points on the row of the frame's middle: 3 pixels are this far apart there, in metres.
    states[:, :, :3] = camera.target
    away = np.linalg.norm(np.subtract(camera.target, camera.position))
    states[3, 0, 0] += 3 * away / camera.focal_length
    states[1:, 1, 0] += 0.5
    boxes = np.full((4, 2, 4), 0.5, np.float32)
    boxes[3, 1] = -1
    return write(tmp_path / "toy.h5", np.array([0, 2, 0, 1], np.uint8), boxes, states)


def test_events_of_a_hand_made_video(toy):
    events = read_events(toy, last=1)
    assert events.contacts.tolist() == [3]
    assert events.visible.tolist() == [[2, 2, 2, 1]]
    assert events.moved.tolist() == [True]
    camera = camera_of((32, 32))
    away = np.linalg.norm(np.subtract(camera.target, camera.position))
    other = 0.5 * camera.focal_length / away
    # Five steps are seen: one of 3 pixels, one of the other object, three without motion.
    assert events.speed == pytest.approx((3 + other) / 5, rel=1e-4)
    assert "by 10 %: 100.0% (3.0 such contacts a video)" in describe(toy, events)
    assert "visible objects: 1: 25.0%, 2: 75.0%" in describe(toy, events)


def test_motion_that_is_hidden_does_not_count(tmp_path, toy):
    states = np.zeros((4, 1, 13), np.float32)
    states[3, 0, 0] = 1
    boxes = np.full((4, 1, 4), 0.5, np.float32)
    boxes[3] = -1
    path = write(tmp_path / "hidden.h5", np.zeros(4, np.uint8), boxes, states)
    assert read_events(path, last=1).moved.tolist() == [False]
    assert main([str(path)]) == 0
    assert main([str(path), "--check"]) == 1
    assert main([str(toy), "--check"]) == 0


def test_nine_in_ten_videos_have_a_contact(tmp_path, capsys):
    """The data set's promise, on 40 videos of the demo's length."""
    dataset = TabletopDataset(
        kind="tabletop",
        resolution=(32, 32),
        num_frames=20,
        num_objects=(3, 4),
        num_videos={"train": 40, "val": 1, "test": 1},
        videos_per_chunk=40,
    )
    path = tmp_path / "train.h5"
    make_chunk(dataset, "tabletop", "train", 0, path)
    events = read_events(path)
    share = (events.contacts > 0).mean()
    assert share >= 0.9
    assert events.visible[:, 0].min() >= 3
    assert 0.4 < events.speed < 2
    assert events.moved.mean() > 0.9
    assert main([str(path), "--check"]) == 0
    assert f"changes a velocity by 10 %: {share:.1%}" in capsys.readouterr().out


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "other.h5"
    with VideoWriter(path, num_videos=1, attributes={"split": "test"}) as writer:
        writer.append(Video("plain", {"frames": np.zeros((2, 4, 4, 3), np.uint8)}))
    with pytest.raises(ValueError, match=r"other\.h5 holds no tabletop videos \(it has frames\)"):
        main([str(path)])


def test_last_must_be_positive(toy):
    with pytest.raises(ValueError, match="--last is 0"):
        main([str(toy), "--last", "0"])


def test_help_is_shown(capsys):
    with pytest.raises(SystemExit) as ending:
        main(["--help"])
    assert ending.value.code == 0
    assert "fewer than 90% of a file's videos" in " ".join(capsys.readouterr().out.split())

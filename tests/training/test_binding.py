"""Masks that say that slots found no objects, and masks that do not."""

import numpy as np
import pytest
from tiny import NUM_SLOTS as TINY_SLOTS
from tiny import SAVI_TRAINING, make_savi, savi_stage, write_videos

from ocvp.config.savi import SaviTraining
from ocvp.config.tree import Runtime
from ocvp.training.binding import doubts_about, likeness_of_videos, standing_out
from ocvp.training.savi_task import DOUBTED_VIDEOS, SaviTask

NUM_VIDEOS, NUM_FRAMES, NUM_SLOTS, SIDE = 8, 4, 5, 32


def one_hot(labels):
    """Return masks (B, T, N, H, W) of labels (B, T, H, W)."""
    return (labels[:, :, None] == np.arange(NUM_SLOTS)[:, None, None]).astype(np.float32)


def object_labels(side=8, seed=0):
    """Return labels (B, T, H, W): slot 0 has the ground, the others squares that move."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((NUM_VIDEOS, NUM_FRAMES, SIDE, SIDE), np.int64)
    for clip in labels:
        for slot in range(1, NUM_SLOTS):
            top, left = rng.integers(0, SIDE - side - NUM_FRAMES, 2)
            for t, frame in enumerate(clip):
                frame[top + t : top + t + side, left : left + side] = slot
    return labels


def place_labels():
    """Return labels (B, T, H, W): quarters of the picture, and its middle."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    labels = 2 * (rows >= SIDE // 2) + (columns >= SIDE // 2)
    labels[12:20, 12:20] = 4
    return np.broadcast_to(labels, (NUM_VIDEOS, NUM_FRAMES, SIDE, SIDE)).copy()


@pytest.mark.parametrize("side", [2, 4, 8, 12])
@pytest.mark.parametrize("seed", range(3))
def test_masks_of_objects_raise_no_doubt(side, seed):
    assert doubts_about(one_hot(object_labels(side, seed))) == ""


def test_a_division_by_place_is_named():
    doubts = doubts_about(one_hot(place_labels()))
    assert "divide the picture by place" in doubts
    assert "100% of them" in doubts
    assert "docs/slots_that_do_not_bind.md" in doubts
    assert "\n" not in doubts


def test_objects_that_slots_take_from_regions_of_their_own_are_no_places():
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:32, :32]
    labels = np.zeros((16, 1, 32, 32), dtype=int)
    for slot, (row, column) in enumerate([(8, 8), (8, 24), (24, 8), (24, 24)], start=1):
        for video in range(16):
            y, x = rng.uniform(-5, 5, 2) + np.array([row, column])
            labels[video, 0, (rows - y) ** 2 + (columns - x) ** 2 < 16] = slot
    assert 0.2 < likeness_of_videos(one_hot(labels)) < 0.3
    assert doubts_about(one_hot(labels)) == ""


def test_a_division_by_place_whose_borders_follow_objects_is_named():
    labels, objects = place_labels(), object_labels(6)
    labels[objects == 1] = 0  # here and there an object is drawn to one slot
    labels[objects == 2] = 3
    soft = 0.6 * one_hot(labels) + 0.4 / NUM_SLOTS
    assert "by place" in doubts_about(soft)


def test_objects_that_are_mostly_in_the_middle_raise_no_doubt():
    """As on a table whose edges show."""
    labels = np.zeros((NUM_VIDEOS, NUM_FRAMES, SIDE, SIDE), np.int64)
    labels[:, :, 8:24, 8:24] = object_labels(6)[:, :, 6:22, 6:22]
    assert doubts_about(one_hot(labels)) == ""


def test_slots_that_do_not_differ_are_named():
    noise = np.random.default_rng(0).uniform(-0.01, 0.01, one_hot(place_labels()).shape)
    assert "no slot differs" in doubts_about(1 / NUM_SLOTS + noise)


def test_one_slot_for_everything_is_named():
    labels = np.zeros((NUM_VIDEOS, NUM_FRAMES, SIDE, SIDE), np.int64)
    assert "one slot holds 100.0% of all pixels" in doubts_about(one_hot(labels))


def test_nothing_is_said_where_nothing_can_be():
    assert doubts_about(one_hot(place_labels())[:1]) == ""  # one video
    assert doubts_about(np.ones((3, 2, 1, 8, 8))) == ""  # one slot


def test_measures_have_their_ends():
    assert standing_out(one_hot(place_labels())) == pytest.approx(1)
    assert standing_out(np.full((1, 1, 4, 8, 8), 0.25)) == pytest.approx(0)
    assert likeness_of_videos(one_hot(place_labels())) == pytest.approx(1)
    assert likeness_of_videos(one_hot(object_labels(4))) == pytest.approx(0, abs=0.1)


# --- within a training ---------------------------------------------------------------------------


def savi_task(folder, *, num_videos=5, batch_videos=16, **training):
    """Return the task of a SAVi that was not trained, on videos of squares."""
    savi, _ = make_savi(initializer="learned_random")
    stage = savi_stage(**training)
    return SaviTask(
        savi,
        SaviTraining(**stage["training"]),
        Runtime(batch_videos=batch_videos),
        train=write_videos(folder / "train.h5"),
        validation=write_videos(folder / "val.h5", num_videos),
        seed=0,
    )


def test_a_training_looks_at_its_validation_videos_after_the_curriculum(tmp_path):
    task = savi_task(tmp_path, curriculum_epochs=2, curriculum_clip_length=1)
    assert task.doubts(0) == task.doubts(1) == ""
    assert "no slot differs" in task.doubts(2)


@pytest.mark.parametrize("shared", ["background_weight", "shared_objects_weight"])
def test_it_waits_for_what_slots_share_to_count(tmp_path, shared):
    settings = {"num_steps": 12, "shared_from": 0.5}  # 3 steps an epoch
    task = savi_task(tmp_path, **settings, **{shared: 1.0})
    assert task.doubts(0) == task.doubts(2) == ""
    assert "no slot differs" in task.doubts(3)
    assert "no slot differs" in savi_task(tmp_path, **settings).doubts(0)


@pytest.mark.parametrize("batch_videos", [1, 6, 64])
def test_all_of_them_start_alike_however_many_are_read_at_once(tmp_path, monkeypatch, batch_videos):
    seen = []
    monkeypatch.setattr("ocvp.training.binding.doubts_about", lambda masks: seen.append(masks))
    task = savi_task(tmp_path, num_videos=20, batch_videos=batch_videos)
    task.doubts(0)
    (masks,) = seen
    assert masks.shape == (DOUBTED_VIDEOS, SAVI_TRAINING["clip_length"], TINY_SLOTS, 16, 16)
    # so the last one's are those that it would have as the first one of its file
    last = write_videos(tmp_path / "last.h5", 2, first=DOUBTED_VIDEOS - 1)
    alone = SaviTask(
        task.module, task._settings, task._runtime, train=last, validation=last, seed=0
    )
    alone.doubts(0)
    np.testing.assert_allclose(seen[1][0], masks[-1], atol=1e-5)

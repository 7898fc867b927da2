"""Records of MOVi: bit for bit what TensorFlow Datasets reads, and what it must not accept."""

import contextlib
import hashlib
import json
import random

import numpy as np
import pytest
from raw_movi import (
    DATA,
    VIDEOS,
    bytes_feature,
    edited,
    field,
    float_feature,
    int_feature,
    movi_root,
    png,
    raw_record,
)

from ocvp.data.movi.records import MoviRecord

__all__ = ["movi_root"]

FRAMES = range(24)
READ = {
    "video": "video",
    "segmentations": "segmentations",
    "depth": "depth",
    "forward_flow": "flow",
    "bboxes": "boxes",
}
"""Array of the ground truth to the method that reads it."""


@pytest.fixture(scope="module")
def data(movi_root):
    return raw_record(movi_root)


@pytest.fixture(scope="module")
def truth():
    with np.load(DATA / "validation_00_4096.npz") as arrays:
        return dict(arrays)


def assert_refused(data, method, message, frames=FRAMES, side=128):
    """Check that a record is refused, when it is opened or when the method is called."""
    with pytest.raises(ValueError, match=message):
        getattr(MoviRecord(data, side=side), method)(frames)


@pytest.mark.parametrize(("split", "shard", "position", "name"), VIDEOS)
def test_every_video_is_bit_exact(movi_root, split, shard, position, name):
    digests = json.loads((DATA / "ground_truth.json").read_text(encoding="utf-8"))[name]
    record = MoviRecord(raw_record(movi_root, split, shard, position), side=128)
    assert record.name == name.rpartition("_")[2]
    assert record.num_frames == 24
    for key, method in READ.items():
        values = getattr(record, method)(FRAMES)
        dtype, shape, digest = digests[key]
        assert (values.dtype.str, list(values.shape)) == (dtype, shape), key
        assert hashlib.sha256(values.tobytes()).hexdigest() == digest, key
    assert record.num_objects == digests["bboxes"][1][1]


def test_values_of_one_video(data, truth):
    record = MoviRecord(data, side=128)
    for key, method in READ.items():
        values = getattr(record, method)(FRAMES)
        np.testing.assert_array_equal(values, truth[key], strict=True)
    assert np.isclose(truth["depth"].min(), record.depth(FRAMES).min())


def test_backward_flow_has_its_own_numbers_and_range(data, truth):
    assert not np.array_equal(truth["backward_flow_u16"], truth["forward_flow_u16"])
    low, high = truth["backward_flow_range"].astype(np.float64)
    expected = truth["backward_flow_u16"] / 65535 * (high - low) + low  # as TFDS documents it
    found = MoviRecord(data, side=128).backward_flow([0, 7, 23])
    np.testing.assert_array_equal(found, expected[[0, 7, 23]].astype(np.float32), strict=True)


def test_frames_in_part(data, truth):
    record = MoviRecord(data, side=128)
    for frames in (range(0, 24, 5), [3], (23, 0)):
        for key, method in READ.items():
            values = getattr(record, method)(frames)
            np.testing.assert_array_equal(values, truth[key][list(frames)], strict=True)


def test_flow_is_not_touched_until_it_is_asked_for(data, truth):
    unreadable = field(3, field(1, b"\xff" * 100_000))
    record = MoviRecord(
        edited(data, forward_flow=unreadable, backward_flow=unreadable, depth=None), side=128
    )
    np.testing.assert_array_equal(record.video(FRAMES), truth["video"])
    np.testing.assert_array_equal(record.segmentations(FRAMES), truth["segmentations"])
    np.testing.assert_array_equal(record.boxes(FRAMES), truth["bboxes"])
    with pytest.raises(ValueError, match="forward_flow is damaged: its last number does not end"):
        record.flow(FRAMES)
    with pytest.raises(ValueError, match="depth is missing"):
        record.depth(FRAMES)


def test_boxes_of_objects_that_come_and_go(data):
    # Of four objects, the first is in frames 2 and 0, the second nowhere, the last in frame 23.
    boxes = np.arange(16, dtype=np.float32).reshape(4, 4) / 16
    lengths = int_feature(2, 0, 1, 1)
    record = MoviRecord(
        edited(
            data,
            instances__bboxes__ragged_flat_values=float_feature(*boxes.ravel()),
            instances__bboxes__ragged_row_lengths_0=lengths,
            instances__bbox_frames__ragged_flat_values=int_feature(2, 0, 7, 23),
            instances__bbox_frames__ragged_row_lengths_0=lengths,
        ),
        side=128,
    )
    expected = np.full((24, 4, 4), -1, np.float32)
    expected[2, 0], expected[0, 0], expected[7, 2], expected[23, 3] = boxes
    np.testing.assert_array_equal(record.boxes(FRAMES), expected, strict=True)


@pytest.mark.parametrize(
    ("changes", "method", "message"),
    [
        ({"video": None}, "video", "video is missing"),
        ({"metadata__video_name": None}, "video", "metadata/video_name is missing"),
        ({"metadata__num_frames": int_feature(25)}, "video", "video holds 24 values; .* 25"),
        ({"metadata__num_frames": int_feature()}, "video", "metadata/num_frames holds 0 values"),
        ({"metadata__num_instances": int_feature(-1)}, "boxes", "metadata/num_instances is -1"),
        ({"metadata__num_instances": int_feature(2**62)}, "boxes", "holds 4 values; expected are"),
        ({"segmentations": bytes_feature(b"")}, "segmentations", "segmentations holds 1 values"),
        ({"depth": bytes_feature(b"")}, "depth", "depth holds 1 values; expected are 24"),
        ({"forward_flow": int_feature(1, 2)}, "flow", "forward_flow holds 2 values; .* 786432"),
        ({"forward_flow": float_feature(1)}, "flow", "forward_flow holds float values"),
        ({"metadata__forward_flow_range": None}, "flow", "metadata/forward_flow_range is missing"),
        ({"metadata__depth_range": float_feature(1)}, "depth", "metadata/depth_range holds 1"),
    ],
)
def test_what_does_not_fit_names_its_key(data, changes, method, message):
    assert_refused(edited(data, **changes), method, message)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bboxes__ragged_row_lengths_0": int_feature(24, 24, 24, 23)}, "other row lengths"),
        ({"bbox_frames__ragged_flat_values": int_feature(1)}, "bbox_frames/.* holds 1 values"),
        ({"bboxes__ragged_flat_values": float_feature(1)}, "bboxes/.* holds 1 values"),
        ({"bboxes__ragged_row_lengths_0": int_feature(1)}, "bboxes/.* holds 1 values; .* 4"),
        ({"bboxes__ragged_row_lengths_0": int_feature(1, 1, 1, -1)}, r"lengths \[1, 1, 1, -1\]"),
        ({"bboxes__ragged_row_lengths_0": int_feature(25, 0, 0, 0)}, r"lengths \[25, 0, 0, 0\]"),
    ],
)
def test_boxes_that_do_not_fit_name_their_key(data, changes, message):
    features = {f"instances__{key}": feature for key, feature in changes.items()}
    assert_refused(edited(data, **features), "boxes", message)


@pytest.mark.parametrize("frame", [-1, 24, 2**40])
def test_boxes_of_frames_that_are_not_there(data, frame):
    example = MoviRecord(data, side=128).example
    frames = example.integers("instances/bbox_frames/ragged_flat_values").tolist()
    frames[-1] = frame
    changed = edited(data, instances__bbox_frames__ragged_flat_values=int_feature(*frames))
    assert_refused(changed, "boxes", rf"bbox_frames goes from .*{frame}.*the video has 24 frames")


def with_picture(data, key, frame, content):
    """Return a record in which one picture is another file."""
    files = MoviRecord(data, side=128).example.bytes_list(key)
    files[frame] = content
    return edited(data, **{key: bytes_feature(*files)})


GRAY, DEEP = np.zeros((128, 128), np.uint8), np.zeros((128, 128), np.uint16)


@pytest.mark.parametrize(
    ("key", "content", "reason"),
    [
        ("video", b"", "cannot be read as a PNG"),
        ("video", b"GIF89a no PNG", "cannot be read as a PNG"),
        ("video", png(GRAY), "its mode is L instead of RGB"),
        ("video", png(np.zeros((64, 128, 3), np.uint8)), "128x64 pixels instead of 128x128"),
        ("segmentations", png(np.zeros((128, 128, 3), np.uint8)), "its mode is RGB instead of L"),
        ("segmentations", png(np.zeros((256, 256), np.uint8)), "256x256 pixels"),
        ("depth", png(GRAY), "its mode is L instead of I;16"),
        ("depth", png(DEEP)[:-30], "cannot be read as a PNG"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_picture_names_its_key_and_frame(data, key, content, reason):
    changed = with_picture(data, key, 5, content)
    assert_refused(changed, key, f"^{key}, frame 5: .*{reason}")
    getattr(MoviRecord(changed, side=128), key)([0, 4, 6])


def test_another_side_than_expected(data):
    assert_refused(data, "video", "video, frame 0: 128x128 pixels instead of 256x256", side=256)
    assert_refused(data, "flow", "forward_flow holds 786432 values", side=256)


@pytest.mark.parametrize("frames", [[], [24], [-1], range(20, 30)])
@pytest.mark.parametrize("method", sorted(READ.values()))
def test_frames_that_are_not_there(data, method, frames):
    assert_refused(data, method, "are asked for; there are 24", frames)


@pytest.mark.parametrize("key", ["video", "segmentations", "depth"])
def test_damaged_pictures_are_value_errors_or_other_pixels(data, key):
    record = MoviRecord(data, side=128)
    original = record.example.bytes_list(key)[0]
    rng, refused = random.Random(3), 0
    for _ in range(60):
        damaged = bytearray(original)
        for _ in range(rng.randint(1, 4)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        if rng.random() < 0.3:
            del damaged[rng.randrange(len(damaged)) :]
        changed = MoviRecord(with_picture(data, key, 0, bytes(damaged)), side=128)
        with contextlib.suppress(ValueError):
            assert getattr(changed, key)([0]).shape[:3] == (1, 128, 128)
            continue
        refused += 1
    assert refused > 20

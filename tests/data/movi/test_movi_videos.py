"""MOVi as a source of videos: what is stored of the fixture, and errors that name the record."""

import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from raw_movi import (
    DATA,
    SHARDS,
    VERSION,
    bytes_feature,
    edited,
    field,
    frame,
    int_feature,
    movi_root,
    raw_record,
    write_movi_a,
    write_movi_c,
)

from ocvp.batches.savi_inputs import model_boxes, model_centres
from ocvp.config.datasets import DatasetStage
from ocvp.config.section import validate
from ocvp.data.movi import videos as movi_videos
from ocvp.data.movi.records import MoviRecord
from ocvp.data.movi.videos import MoviVideos
from ocvp.data.raw_files import list_videos
from ocvp.data.raw_videos import RawVideo

__all__ = ["movi_root"]

TRAIN = tuple((VERSION / name).as_posix() for name in SHARDS["train"])
VALIDATION = (VERSION / SHARDS["validation"][0]).as_posix()
VIDEO = RawVideo("", (VALIDATION,), 0)  # validation_00_4096, with four objects
FULL = {"resolution": [128, 128]}


def config(root, **keys):
    return validate(DatasetStage, {"kind": "movi", "root": str(root), **keys}, "dataset").root


def read(root, videos=(VIDEO,), **keys):
    """Return all videos of a source."""
    source = MoviVideos(config(root, **keys), "train", videos)
    return list(source.videos(0, source.num_videos))


@pytest.fixture(scope="module")
def truth():
    with np.load(DATA / "validation_00_4096.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def data(movi_root):
    return raw_record(movi_root)


def test_at_the_size_on_disk_everything_is_what_tfds_reads(movi_root, truth):
    (video,) = read(movi_root, fields=["flow", "depth"], max_objects=6, **FULL)
    assert video.name == "4096"
    assert list(video.arrays) == ["frames", "masks", "boxes", "flow", "depth"]
    padding = np.full((24, 2, 4), -1, np.float32)
    expected = {
        "frames": truth["video"],
        "masks": truth["segmentations"],
        "boxes": np.concatenate([truth["bboxes"], padding], axis=1),
        "flow": truth["forward_flow"],
        "depth": truth["depth"],
    }
    for field_name, values in expected.items():
        np.testing.assert_array_equal(video.arrays[field_name], values, strict=True)
    assert video.metadata["num_objects"] == 4
    assert video.metadata["objects"]["shape_label"] == ["cylinder", "cube", "sphere", "sphere"]


def test_at_half_the_size_frames_are_means_and_the_rest_even_pixels(movi_root, data, truth):
    (video,) = read(movi_root, fields=["flow", "depth", "backward_flow"])
    means = truth["video"].reshape(24, 64, 2, 64, 2, 3).mean(axis=(2, 4))
    frames = video.arrays["frames"]
    assert (frames.shape, frames.dtype) == ((24, 64, 64, 3), np.uint8)
    np.testing.assert_array_equal(frames, np.floor(means + 0.5))
    even = (slice(None), slice(None, None, 2), slice(None, None, 2))
    exact = {
        "masks": truth["segmentations"][even],
        "flow": truth["forward_flow"][even] / 2,  # in pixels that are twice as large
        "depth": truth["depth"][even],
        "backward_flow": MoviRecord(data, side=128).backward_flow(range(24))[even] / 2,
    }
    for field_name, values in exact.items():
        np.testing.assert_array_equal(video.arrays[field_name], values, strict=True)
    np.testing.assert_array_equal(video.arrays["boxes"][:, :4], truth["bboxes"], strict=True)
    assert video.arrays["boxes"].shape == (24, 10, 4)
    assert (video.arrays["boxes"][:, 4:] == -1).all()


def test_sides_of_different_length(movi_root, truth):
    (video,) = read(movi_root, resolution=[64, 32], resize="nearest", fields=["flow", "depth"])
    assert video.arrays["frames"].shape == (24, 64, 32, 3)
    part = (slice(None), slice(None, None, 2), slice(None, None, 4))
    flow = truth["forward_flow"][part] / np.array([2, 4], np.float32)
    np.testing.assert_array_equal(video.arrays["flow"], flow, strict=True)
    np.testing.assert_array_equal(video.arrays["masks"], truth["segmentations"][part])


def test_other_filters_and_larger_frames(movi_root, truth):
    (video,) = read(movi_root, resize="bicubic", num_frames=2)
    picture = Image.fromarray(truth["video"][1]).resize((64, 64), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(video.arrays["frames"][1], np.asarray(picture))
    (video,) = read(movi_root, resolution=[256, 192], num_frames=2)
    picture = Image.fromarray(truth["video"][1]).resize((192, 256), Image.Resampling.BOX)
    np.testing.assert_array_equal(video.arrays["frames"][1], np.asarray(picture))
    np.testing.assert_array_equal(
        video.arrays["masks"][1, 1::2], truth["segmentations"][1][:, np.arange(192) * 2 // 3]
    )


def test_only_what_is_asked_for_is_stored_and_decoded(movi_root, data, tmp_path):
    unreadable = field(3, field(1, b"\xff" * 1000))
    write_movi_a(
        tmp_path,
        [edited(data, forward_flow=unreadable, backward_flow=unreadable, depth=bytes_feature())],
        split="validation",
        source=movi_root,
    )
    (video,), (whole,) = read(tmp_path), read(movi_root)
    assert list(video.arrays) == ["frames", "masks", "boxes"]
    for field_name in video.arrays:
        np.testing.assert_array_equal(video.arrays[field_name], whole.arrays[field_name])
    where = re.escape(f"{tmp_path / VALIDATION}: the record at byte 0: ")
    with pytest.raises(ValueError, match=where + "forward_flow is damaged: its last number"):
        read(tmp_path, fields=["flow"])
    with pytest.raises(ValueError, match=where + "depth holds 0 values; expected are 24"):
        read(tmp_path, fields=["depth"])


def test_the_first_frames_with_a_stride(movi_root, truth):
    (video,) = read(movi_root, num_frames=5, stride=3, fields=["depth"], max_objects=4, **FULL)
    taken = slice(0, 15, 3)
    np.testing.assert_array_equal(video.arrays["frames"], truth["video"][taken])
    np.testing.assert_array_equal(video.arrays["masks"], truth["segmentations"][taken])
    np.testing.assert_array_equal(video.arrays["boxes"], truth["bboxes"][taken])
    np.testing.assert_array_equal(video.arrays["depth"], truth["depth"][taken])


def test_the_rate_is_that_of_the_stored_frames(movi_root):
    assert MoviVideos(config(movi_root), "val", []).attributes() == {"fps": 12.0}
    slower = config(movi_root, stride=2, num_frames=12)
    assert MoviVideos(slower, "val", []).attributes() == {"fps": 6.0}


def test_the_last_frame_can_be_stored_but_none_after_it(movi_root):
    assert read(movi_root, num_frames=12, stride=2)[0].arrays["frames"].shape[0] == 12
    assert read(movi_root, num_frames=2, stride=23)[0].arrays["frames"].shape[0] == 2
    for keys in ({"num_frames": 25}, {"num_frames": 2, "stride": 24}):
        with pytest.raises(ValueError, match=r"takes 25 frames; a video has 24"):
            config(movi_root, **keys)
        # What a record holds is checked too.
        unchecked = config(movi_root).model_copy(update=keys)
        with pytest.raises(ValueError, match=r"byte 0: video 4096 has 24 frames.* needs 25"):
            list(MoviVideos(unchecked, "val", [VIDEO]).videos(0, 1))


def test_more_objects_than_rows_are_refused(movi_root):
    message = "byte 0: video 4096 has 4 objects; max_objects is 3, so set it to 4 or more"
    with pytest.raises(ValueError, match=message):
        read(movi_root, max_objects=3)


@pytest.mark.parametrize(
    ("splits", "split", "names"),
    [
        ("published", "train", ["204", "17", "7311", "1033"]),
        ("published", "val", ["4096", "2750"]),
        ("published", "test", ["4096", "2750"]),
        ("divided", "val", ["4096"]),
        ("divided", "test", ["2750"]),
    ],
)
def test_the_videos_of_each_split(movi_root, splits, split, names):
    dataset = config(movi_root, splits=splits)
    source = MoviVideos(dataset, split, list_videos(dataset, split))
    assert source.num_videos == len(names)
    videos = list(source.videos(0, source.num_videos))
    assert [video.name for video in videos] == names
    for start in range(source.num_videos):
        (video,) = source.videos(start, start + 1)
        assert video.name == names[start]
        assert np.array_equal(video.arrays["frames"], videos[start].arrays["frames"])


def test_a_variant_with_a_test_split(movi_root, tmp_path):
    dataset = config(write_movi_c(tmp_path, movi_root), variant="movi_c", splits="own")
    names = {}
    for split in ("train", "val", "test"):
        source = MoviVideos(dataset, split, list_videos(dataset, split))
        names[split] = [video.name for video in source.videos(0, source.num_videos)]
    assert names == {"train": ["204", "17"], "val": ["7311", "1033"], "test": ["4096", "2750"]}


def test_a_shard_is_opened_once_for_all_its_videos(movi_root, monkeypatch):
    calls = []

    def recorder(path, indices):
        calls.append((path.name, list(indices)))
        return original(path, indices)

    original = movi_videos.read_records
    monkeypatch.setattr(movi_videos, "read_records", recorder)
    videos = [RawVideo("", (shard,), index) for shard in TRAIN for index in range(2)]
    names = [video.name for video in read(movi_root, videos)]
    assert names == ["204", "17", "7311", "1033"]
    assert calls == [(name, [0, 1]) for name in SHARDS["train"]]


@pytest.mark.parametrize("position", [0, 8, 12, -1], ids=["length", "its checksum", "data", "end"])
def test_a_damaged_record_names_shard_and_offset(tmp_path, data, position):
    path = write_movi_a(tmp_path, [data, data], split="validation")
    content, offset = bytearray(path.read_bytes()), len(frame(data))
    content[position if position < 0 else offset + position] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=re.escape(f"{path}: the record at byte {offset} is dam")):
        read(tmp_path, [VIDEO._replace(record=1)])


def test_a_record_that_is_not_decodable_names_shard_offset_and_key(tmp_path, data):
    broken = edited(data, segmentations=bytes_feature(*[b"no PNG"] * 24))
    path = write_movi_a(tmp_path, [data, broken, b"\x0a\x05no"], split="validation")
    where = f"{path}: the record at byte {len(frame(data))}: segmentations, frame 0: "
    with pytest.raises(ValueError, match=re.escape(where)):
        read(tmp_path, [VIDEO._replace(record=1)])
    where = f"{path}: the record at byte {len(frame(data)) + len(frame(broken))}: the Example is"
    with pytest.raises(ValueError, match=re.escape(where)):
        read(tmp_path, [VIDEO._replace(record=2)])
    with pytest.raises(ValueError, match="holds 3 records; record 3"):
        read(tmp_path, [VIDEO._replace(record=3)])


def test_the_wrong_source_resolution_is_named(movi_root):
    with pytest.raises(ValueError, match="video, frame 0: 128x128 pixels instead of 256x256"):
        read(movi_root, source_resolution=256)


def test_labels_that_do_not_fit_name_the_record(tmp_path, movi_root, data):
    path = write_movi_a(
        tmp_path,
        [edited(data, instances__color_label=int_feature(0, 99, 0, 0))],
        split="validation",
        source=movi_root,
    )
    with pytest.raises(ValueError, match=re.escape(f"{path}: the record at byte 0: instances/col")):
        read(tmp_path)


def test_boxes_in_pixels_are_those_of_the_published_conversion(movi_root, truth):
    # The truth is at side 128, before halving, for 11 objects.
    (video,) = read(movi_root, max_objects=11)
    boxes = torch.from_numpy(video.arrays["boxes"])
    pixels = 2 * model_boxes(boxes, "published_pixels")
    centres = 2 * model_centres(boxes, "published_pixels")
    np.testing.assert_array_equal(pixels, truth["ocvp_bbox_coords"])
    np.testing.assert_array_equal(centres, truth["ocvp_com_coords"])
    is_present = (truth["ocvp_bbox_coords"] > 0).any(axis=-1)
    assert is_present.sum() == (truth["bboxes"] >= 0).all(axis=-1).sum() == 79


@pytest.mark.skipif(sys.platform != "linux", reason="the system does not tell the peak")
def test_memory_stays_small_and_torch_is_not_imported(movi_root):
    code = f"""
import pathlib, sys
from ocvp.config.datasets import DatasetStage
from ocvp.config.section import validate
from ocvp.data.movi.records import MoviRecord
from ocvp.data.movi.videos import MoviVideos
from ocvp.data.raw_files import list_videos
keys = {{"kind": "movi", "root": {str(movi_root)!r}, "fields": ["flow", "depth"]}}
dataset = validate(DatasetStage, keys, "dataset").root
videos = list_videos(dataset, "train") * 3
source = MoviVideos(dataset, "train", videos)
print(sum(len(video.arrays) for video in source.videos(0, source.num_videos)))
status = dict(line.split(":", 1) for line in pathlib.Path("/proc/self/status").open())
print(status["VmHWM"].split()[0])
print("torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    num_arrays, kilobytes, has_torch = done.stdout.split()
    assert num_arrays == "60"
    assert int(kilobytes) < 300_000
    assert has_torch == "False"

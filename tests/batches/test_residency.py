"""Residency: data go where they fit with room to spare, within what the job may still take."""

import logging
from types import SimpleNamespace

import psutil
import pytest
import torch
from tiny import NUM_FRAMES, SIDE, spoil, write_videos

from ocvp.batches.residency import as_text, choose, data_bytes
from ocvp.compute import memory

FRAMES = 5 * NUM_FRAMES * SIDE * SIDE * 3  # bytes of the frames of five videos
BOXES = 5 * NUM_FRAMES * 2 * 4 * 4
GPU = torch.device("cuda", 0)


@pytest.fixture
def videos(tmp_path):
    return write_videos(tmp_path / "train.h5", num_videos=5)


@pytest.fixture
def free(monkeypatch):
    """Return a function that sets the free memory of the machine and of the GPU, in bytes."""

    def set_free(main=0, gpu=0, gpu_total=0):
        monkeypatch.setattr(memory, "job_memory", lambda root: None)
        available = SimpleNamespace(available=main)
        monkeypatch.setattr(psutil, "virtual_memory", lambda: available)
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (gpu, gpu_total or gpu))

    return set_free


def sources(path, *fields):
    return {field: (path, field) for field in fields}


def test_size_is_that_of_the_values_each_field_once(videos, tmp_path):
    assert data_bytes([sources(videos, "frames")]) == FRAMES
    both = [sources(videos, "frames", "boxes"), sources(videos, "frames")]
    assert data_bytes(both) == FRAMES + BOXES
    (tmp_path / "link.h5").symlink_to(videos)
    assert data_bytes([*both, sources(tmp_path / "link.h5", "frames")]) == FRAMES + BOXES
    other = write_videos(tmp_path / "val.h5", num_videos=5)
    assert data_bytes([*both, sources(other, "frames")]) == 2 * FRAMES + BOXES


def test_size_is_known_without_reading(videos):
    spoil(videos)
    assert data_bytes([sources(videos, "frames")]) == FRAMES
    with pytest.raises(ValueError, match=r"nothing\.h5 is gone"):
        data_bytes([sources(videos.with_name("nothing.h5"), "frames")])


@pytest.mark.parametrize(
    ("device", "main", "gpu", "processes", "expected"),
    [
        ("cpu", 2 * FRAMES, 0, 1, "memory"),
        ("cpu", 2 * FRAMES - 2, 0, 1, "disk"),
        ("cpu", 4 * FRAMES, 0, 2, "memory"),  # each process keeps a copy
        ("cpu", 4 * FRAMES - 4, 0, 2, "disk"),
        ("cpu", 0, 9 * FRAMES, 1, "disk"),
        ("mps", 2 * FRAMES, 0, 1, "memory"),  # its memory is the main memory
        (GPU, 0, 4 * FRAMES, 1, "device"),
        (GPU, 0, 4 * FRAMES, 8, "device"),  # each process has a GPU of its own
        (GPU, 9 * FRAMES, 4 * FRAMES - 4, 1, "memory"),
        (GPU, FRAMES, FRAMES, 1, "disk"),
    ],
)
def test_auto_takes_the_nearest_place_with_room_to_spare(
    videos, free, device, main, gpu, processes, expected
):
    free(main, gpu)
    assert choose("auto", [sources(videos, "frames")], device, processes) == expected


def test_several_readers_are_chosen_for_together(videos, free, tmp_path):
    other = write_videos(tmp_path / "val.h5", num_videos=5)
    free(main=3 * FRAMES)
    assert choose("auto", [sources(videos, "frames")], "cpu") == "memory"
    both = [sources(videos, "frames"), sources(other, "frames")]
    assert choose("auto", both, "cpu") == "disk"


def test_processes_that_torchrun_started_share_the_memory(videos, free, monkeypatch):
    free(main=3 * FRAMES)
    assert choose("auto", [sources(videos, "frames")], "cpu") == "memory"
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert choose("auto", [sources(videos, "frames")], "cpu") == "disk"
    assert choose("auto", [sources(videos, "frames")], "cpu", 1) == "memory"


def test_the_choice_is_logged_in_one_line(videos, free, caplog):
    caplog.set_level(logging.INFO, "ocvp")
    frames = [sources(videos, "frames")]
    free(main=2_000_000, gpu=70_000_000_000)
    choose("auto", frames, "cpu")
    choose("auto", frames, "cpu", 2)
    choose("disk", frames, "cpu")
    choose("auto", frames, GPU)
    assert caplog.messages == [
        "data: 30.7 kB, kept in memory (2 MB are free)",
        "data: 30.7 kB, kept in memory (1 MB are free for each of 2 processes)",
        "data: 30.7 kB, streamed from disk (2 MB of memory are free)",
        "data: 30.7 kB, kept on cuda:0 (70 GB of its memory are free)",
    ]


@pytest.mark.parametrize("asked", ["device", "memory", "disk"])
@pytest.mark.parametrize("device", ["cpu", GPU])
def test_what_is_asked_for_is_chosen_whatever_is_free(videos, free, caplog, asked, device):
    free(main=FRAMES - 1, gpu=FRAMES - 1, gpu_total=FRAMES)
    assert choose(asked, [sources(videos, "frames")], device) == asked
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    is_in_memory = asked == "memory" or (asked == "device" and device == "cpu")
    assert len(warnings) == is_in_memory
    if warnings:
        assert "only 30.7 kB of main memory seem to be free" in warnings[0].getMessage()
        assert "disk" in warnings[0].getMessage()


def test_data_beyond_the_whole_gpu_are_refused(videos, free):
    free(main=9 * FRAMES, gpu=FRAMES - 30, gpu_total=FRAMES - 20)
    with pytest.raises(ValueError, match=r"take 30.7 kB and cuda:0 has 30.7 kB .* memory or disk"):
        choose("device", [sources(videos, "frames")], GPU)


@pytest.mark.parametrize(
    ("num_bytes", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1 kB"),
        (1_100_000_000, "1.1 GB"),
        (18_240_000_000, "18.2 GB"),
        (3.2e13, "32 TB"),
    ],
)
def test_sizes_are_told_in_decimal_units(num_bytes, text):
    assert as_text(num_bytes) == text

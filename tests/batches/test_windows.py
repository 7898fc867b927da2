"""Windows: every video once an epoch, every start, and the same batches however they are read."""

import os
import pickle

import h5py
import numpy as np
import pytest
import torch
from tiny import NUM_FRAMES, reading_processes, spoil, squares, write_videos

from ocvp.batches.windows import (
    Window,
    WindowReader,
    check_finite,
    epoch_batches,
    first_windows,
    to_model,
    to_pixels,
)
from ocvp.compute.randomness import generator


def plan(epoch, **changes):
    settings = {"seed": 3, "num_videos": 11, "num_starts": 4, "batch_size": 4}
    return epoch_batches(epoch=epoch, **settings | changes)


def test_an_epoch_holds_every_video_once():
    for epoch in range(20):
        batches = plan(epoch)
        assert [len(batch) for batch in batches] == [4, 4, 3]
        assert sorted(window.video for batch in batches for window in batch) == list(range(11))


def test_every_start_is_reached_the_last_one_too():
    """Published code never took the last start, and failed on clips as long as the video."""
    windows = [window for epoch in range(200) for batch in plan(epoch) for window in batch]
    counts = np.bincount([window.start for window in windows])
    assert len(counts) == 4
    # 2,200 draws: each start has 550 +- 20, so 450 to 650 is five standard deviations.
    assert counts.min() > 450
    assert counts.max() < 650
    for video in range(11):
        assert {window.start for window in windows if window.video == video} == {0, 1, 2, 3}
    assert {w.start for batch in plan(0, num_starts=1) for w in batch} == {0}


def test_an_epoch_is_a_function_of_seed_and_number():
    assert plan(0) == plan(0)
    assert plan(0) != plan(1)
    assert plan(0) != plan(0, seed=4)
    order = [window for batch in plan(0) for window in batch]
    regrouped = [window for batch in plan(0, batch_size=3) for window in batch]
    assert order == regrouped


def test_each_epoch_has_an_order_of_its_own():
    for epoch in (0, 1):
        order = [window.video for batch in plan(epoch) for window in batch]
        assert order == generator(3, "order", epoch).permutation(11).tolist()


def test_first_windows_are_in_order():
    assert first_windows(3, 2) == [[Window(0, 0), Window(1, 0)], [Window(2, 0)]]


@pytest.fixture
def videos(tmp_path):
    return write_videos(tmp_path / "train.h5", num_videos=5)


RESIDENCIES = ["disk", "memory", "device"]


def sources(path):
    return {field: (path, field) for field in ("frames", "masks", "boxes")}


@pytest.mark.parametrize("residency", RESIDENCIES)
def test_a_window_is_that_stretch_of_that_video(videos, residency):
    reader = WindowReader(sources(videos), 3, residency)
    for length in (None, 3, 2):  # an early clip may be shorter
        windows = [Window(4, 5, length), Window(0, 2, length), Window(4, 0, length)]
        found, batch = reader[windows]
        assert found == windows
        for field in ("frames", "masks", "boxes"):
            parts = [(4, 5), (0, 2), (4, 0)]
            expected = [squares(v)[field][start : start + (length or 3)] for v, start in parts]
            np.testing.assert_array_equal(batch[field].numpy(), np.stack(expected))
    assert NUM_FRAMES - 3 == 5  # the first of them is the last that fits


def assert_same(found, expected):
    """Check that two batches are the same, types and memory layout included."""
    windows, fields = found
    assert windows == expected[0]
    assert list(fields) == list(expected[1])
    for name, values in expected[1].items():
        assert fields[name].dtype == values.dtype
        assert fields[name].is_contiguous()
        torch.testing.assert_close(fields[name], values, rtol=0, atol=0)


@pytest.mark.parametrize("workers", [0, 2, None])
@pytest.mark.parametrize("residency", RESIDENCIES)
def test_the_batches_are_the_same_wherever_the_data_are(videos, residency, workers):
    expected = WindowReader(sources(videos), 3, "disk")
    reader = WindowReader(sources(videos), 3, residency)
    reader[[Window(0, 0)]]  # opens the file here too, as pictures of a training do
    starts = {"seed": 0, "num_videos": 5, "num_starts": NUM_FRAMES - 2}
    plans = [
        epoch_batches(epoch=0, batch_size=2, **starts),
        epoch_batches(epoch=1, batch_size=3, length=2, **starts),
        first_windows(5, 2),
        [[Window(1, 1)], [], [Window(2, 0)]],  # a process of several may have no part in a batch
    ]
    for plan in plans:
        state = torch.random.get_rng_state()
        batches = list(reader.batches(plan, workers))
        assert len(batches) == len(plan)
        for windows, batch in zip(plan, batches, strict=True):
            assert_same(batch, expected[windows])
        # dropout draws from this generator: reading must not move it
        assert torch.equal(torch.random.get_rng_state(), state)


def test_only_streaming_has_processes_two_where_the_config_says_nothing(videos):
    numbers = {}
    for residency in RESIDENCIES:
        for workers in (0, 1, None):
            batches = WindowReader(sources(videos), 3, residency).batches(
                first_windows(5, 1), workers
            )
            next(batches)
            numbers[residency, workers] = len(reading_processes())
            batches.close()
    streaming = {("disk", 1): 1, ("disk", None): 2}
    assert numbers == dict.fromkeys(numbers, 0) | streaming


def test_what_is_kept_is_read_once(videos):
    readers = [WindowReader(sources(videos), 3, residency) for residency in RESIDENCIES[1:]]
    videos.unlink()
    for reader in readers:
        _, batch = reader[[Window(2, 1)]]
        np.testing.assert_array_equal(batch["frames"][0].numpy(), squares(2)["frames"][1:4])


@pytest.mark.parametrize("residency", RESIDENCIES)
def test_a_batch_is_a_copy(videos, residency):
    """What a step writes into its batch is not in the data of the next epoch."""
    reader = WindowReader(sources(videos), 3, residency)
    reader[[Window(1, 1)]][1]["frames"].zero_()
    assert reader[[Window(1, 1)]][1]["frames"].any()


@pytest.mark.parametrize("residency", RESIDENCIES)
@pytest.mark.parametrize("window", [Window(5, 0), Window(-1, 0), Window(0, 6), Window(0, -1)])
def test_frames_outside_of_the_videos_are_refused(videos, residency, window):
    """In a copy, the frames of the next video lie behind the last one of a video."""
    reader = WindowReader(sources(videos), 3, residency)
    with pytest.raises(ValueError, match="holds 5 videos of 8 frames"):
        reader[[Window(0, 0), window]]


def test_windows_of_a_batch_are_equally_long(videos):
    with pytest.raises(ValueError, match=r"several lengths, \[2, 3\]"):
        WindowReader(sources(videos), 3)[[Window(0, 0), Window(1, 0, 2)]]


def test_fields_run_over_the_same_videos(videos, tmp_path):
    other = write_videos(tmp_path / "other.h5", num_videos=4)
    with pytest.raises(ValueError, match=r"other.h5 holds 4 videos of 8 frames, but .* 5 of"):
        WindowReader({"frames": (videos, "frames"), "boxes": (other, "boxes")}, 3)


def test_a_reader_goes_to_another_process_without_its_open_file(videos):
    reader = WindowReader(sources(videos), 3, "disk")
    _, expected = reader[[Window(1, 1)]]
    copy = pickle.loads(pickle.dumps(reader))
    _, found = copy[[Window(1, 1)]]
    assert torch.equal(found["frames"], expected["frames"])


@pytest.mark.parametrize(
    ("residency", "workers"), [("memory", 0), ("device", 0), ("disk", 0), ("disk", 2)]
)
def test_one_flipped_bit_is_told_in_one_message(videos, residency, workers):
    spoil(videos)
    with pytest.raises(ValueError, match="is damaged") as caught:
        for _ in WindowReader(sources(videos), 3, residency).batches(first_windows(5, 2), workers):
            pass
    message = str(caught.value)
    assert message.startswith(str(videos))
    assert "run the workflow again" in message
    assert "Traceback" not in message


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("fault", ["gone", "damaged"])
def test_a_file_that_goes_bad_while_it_streams_is_named(tmp_path, workers, fault):
    """What was read before comes out as it was; what is read after never does."""
    path = write_videos(tmp_path / "train.h5", num_videos=40)
    with h5py.File(path) as file:
        end = file["frames"].id.get_chunk_info(20).byte_offset
    batches = WindowReader(sources(path), 3, "disk").batches(first_windows(40, 1), workers)
    done = []

    def read():
        for (window,), batch in batches:
            expected = squares(window.video)["frames"][:3]
            np.testing.assert_array_equal(batch["frames"][0].numpy(), expected)
            done.append(window.video)
            if len(done) == 2:
                path.unlink() if fault == "gone" else os.truncate(path, end)

    with pytest.raises(ValueError, match=f"is {fault}") as caught:
        read()
    assert 2 <= len(done) <= 10
    assert str(caught.value).startswith(str(path))
    assert "Traceback" not in str(caught.value)


def test_frames_turn_into_tensors_and_back():
    stored = torch.arange(2 * 3 * 4 * 5 * 3).reshape(2, 3, 4, 5, 3).to(torch.uint8)
    frames = to_model(stored, "cpu")
    assert frames.shape == (2, 3, 3, 4, 5)
    assert frames.dtype == torch.float32
    assert float(frames[1, 2, 0, 3, 4]) == pytest.approx(int(stored[1, 2, 3, 4, 0]) / 255)
    np.testing.assert_array_equal(to_pixels(frames), stored.numpy())
    # outside of [0, 1] a decoded pixel is cut, not wrapped around
    assert to_pixels(torch.tensor([-0.5, 1.5, 0.5]).reshape(3, 1, 1)).tolist() == [[[0, 255, 128]]]


def test_what_is_not_finite_is_named_by_its_video():
    values = torch.zeros(3, 2, 2)
    windows = [Window(7, 0), Window(4, 0), Window(9, 0)]
    check_finite(values, windows, "the slots")
    values[1, 0, 1] = float("inf")
    with pytest.raises(ValueError, match="the slots of video 4 are not finite"):
        check_finite(values, windows, "the slots")

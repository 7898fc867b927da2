"""Windows: every video once an epoch, every start, and the same batches however they are read."""

import pickle

import numpy as np
import pytest
import torch
from tiny import NUM_FRAMES, spoil, squares, write_videos

from ocvp.windows import (
    Window,
    WindowReader,
    check_buffer,
    check_finite,
    epoch_batches,
    first_windows,
    slot_noise,
    to_model,
    to_pixels,
)


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


def test_first_windows_are_in_order():
    assert first_windows(3, 2) == [[Window(0, 0), Window(1, 0)], [Window(2, 0)]]


def test_noise_belongs_to_the_window_not_to_its_batch():
    windows = [Window(5, 1), Window(2, 0), Window(7, 3)]
    noise = slot_noise(1, "train", 4, windows, 3, 8)
    assert noise.shape == (3, 3, 8)
    assert noise.dtype == torch.float32
    torch.testing.assert_close(slot_noise(1, "train", 4, windows[1:2], 3, 8)[0], noise[1])
    others = [
        slot_noise(2, "train", 4, windows, 3, 8),
        slot_noise(1, "validation", 4, windows, 3, 8),
        slot_noise(1, "train", 5, windows, 3, 8),
        slot_noise(1, "train", 4, [Window(5, 2), Window(3, 0), Window(6, 3)], 3, 8),
    ]
    for other in others:
        assert not torch.isclose(other, noise).any()
    many = slot_noise(1, "train", 0, [Window(v, 0) for v in range(200)], 3, 8)
    assert abs(float(many.mean())) < 0.05
    assert abs(float(many.std()) - 1) < 0.05


@pytest.fixture
def videos(tmp_path):
    return write_videos(tmp_path / "train.h5", num_videos=5)


def sources(path):
    return {field: (path, field) for field in ("frames", "masks", "boxes")}


def test_a_window_is_that_stretch_of_that_video(videos):
    reader = WindowReader(sources(videos), 3)
    windows, batch = reader[[Window(4, 5), Window(0, 2)]]
    assert windows == [Window(4, 5), Window(0, 2)]
    for field in ("frames", "masks", "boxes"):
        expected = np.stack([squares(4)[field][5:8], squares(0)[field][2:5]])
        np.testing.assert_array_equal(batch[field].numpy(), expected)
    assert NUM_FRAMES - 3 == 5  # the first of the two is the last that fits


@pytest.mark.parametrize("workers", [0, 2])
def test_disk_and_memory_give_the_same_batches(videos, workers):
    memory = WindowReader(sources(videos), 3, "memory")
    disk = WindowReader(sources(videos), 3, "disk")
    disk[[Window(0, 0)]]  # opens the file here too, as pictures of a training do
    for epoch in range(2):
        batches = epoch_batches(
            seed=0, epoch=epoch, num_videos=5, num_starts=NUM_FRAMES - 2, batch_size=2
        )
        state = torch.random.get_rng_state()
        pairs = list(
            zip(memory.batches(batches, workers), disk.batches(batches, workers), strict=True)
        )
        assert len(pairs) == 3
        for (windows, expected), (same_windows, found) in pairs:
            assert windows == same_windows
            for field, tensor in expected.items():
                torch.testing.assert_close(found[field], tensor, rtol=0, atol=0)
        # dropout draws from this generator: reading must not move it
        assert torch.equal(torch.random.get_rng_state(), state)


def test_a_reader_goes_to_another_process_without_its_open_file(videos):
    reader = WindowReader(sources(videos), 3, "disk")
    _, expected = reader[[Window(1, 1)]]
    copy = pickle.loads(pickle.dumps(reader))
    _, found = copy[[Window(1, 1)]]
    assert torch.equal(found["frames"], expected["frames"])


@pytest.mark.parametrize(("data", "workers"), [("memory", 0), ("disk", 0), ("disk", 2)])
def test_one_flipped_bit_is_told_in_one_message(videos, data, workers):
    spoil(videos)
    with pytest.raises(ValueError, match="is damaged") as caught:
        for _ in WindowReader(sources(videos), 3, data).batches(first_windows(5, 2), workers):
            pass
    message = str(caught.value)
    assert message.startswith(str(videos))
    assert "run the workflow again" in message
    assert "Traceback" not in message


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


def test_a_buffer_holds_the_whole_context():
    check_buffer(None, 9)
    check_buffer(5, 5)
    with pytest.raises(ValueError, match="buffer_size is 4, smaller than num_context, 5"):
        check_buffer(4, 5)

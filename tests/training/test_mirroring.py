"""Mirrored clips: what is stored beside the frames is mirrored with them."""

import numpy as np
import pytest
import torch

from ocvp.batches.windows import Window
from ocvp.data.mask_boxes import mask_boxes
from ocvp.training.mirroring import mirrored

SIDE, LENGTH = 6, 2
WINDOWS = [Window(video, 1) for video in range(64)]


def clip(height, width):
    """Return a clip with two things, the second one gone after the first frame."""
    rng = np.random.default_rng(0)
    masks = np.zeros((LENGTH, height, width), np.uint8)
    masks[:, 1:3, 2:5] = 1
    masks[0, 4:, :1] = 2
    # From the middle outwards, so that the flow of a mirrored clip is the same again.
    middle = np.array([height - 1, width - 1]) / 2
    flow = np.stack(np.mgrid[:height, :width], axis=-1) - middle  # (H, W, 2)
    return {
        "frames": rng.integers(256, size=(LENGTH, height, width, 3), dtype=np.uint8),
        "depth": rng.random((LENGTH, height, width), np.float32),
        "masks": masks,
        "boxes": mask_boxes(masks, 2),
        "flow": np.broadcast_to(flow, (LENGTH, height, width, 2)).astype(np.float32),
    }


def mirrored_clips(one, seed=3, epoch=5):
    batch = {name: torch.from_numpy(np.stack([values] * 64)) for name, values in one.items()}
    found = mirrored(WINDOWS, batch, seed=seed, epoch=epoch)
    assert all(found[name].dtype == values.dtype for name, values in batch.items())
    return {name: values.numpy() for name, values in found.items()}


def symmetries(picture):
    """Return the pictures (T, H, W, ...) that mirrors make of one, without the diagonal first."""
    pictures = [picture, picture[:, ::-1], picture[:, :, ::-1], picture[:, ::-1, ::-1]]
    if picture.shape[1] == picture.shape[2]:
        pictures += [one.swapaxes(1, 2) for one in pictures]
    return pictures


@pytest.mark.parametrize(("width", "num_symmetries"), [(SIDE, 8), (SIDE + 2, 4)])
def test_clips_are_mirrored_in_every_way_as_often(width, num_symmetries):
    one = clip(SIDE, width)
    found = mirrored_clips(one)
    choices = symmetries(one["frames"])
    assert len(choices) == num_symmetries
    numbers = [
        next(k for k, choice in enumerate(choices) if np.array_equal(frames, choice))
        for frames in found["frames"]
    ]
    assert min(np.bincount(numbers, minlength=num_symmetries)) >= 2
    for number, depth in zip(numbers, found["depth"], strict=True):
        np.testing.assert_array_equal(depth, symmetries(one["depth"])[number])


@pytest.mark.parametrize("width", [SIDE, SIDE + 2])
def test_boxes_are_those_of_the_mirrored_masks_and_flow_points_where_things_go(width):
    one = clip(SIDE, width)
    found = mirrored_clips(one)
    for masks, boxes in zip(found["masks"], found["boxes"], strict=True):
        np.testing.assert_allclose(boxes, mask_boxes(masks, 2), atol=1e-6)
    assert len(np.unique(found["boxes"][:, 0, 0], axis=0)) > 1
    np.testing.assert_array_equal(found["flow"], np.stack([one["flow"]] * 64))


def test_draws_depend_on_seed_epoch_and_video_alone():
    one = clip(SIDE, SIDE)
    frames = mirrored_clips(one)["frames"]
    again = {"frames": torch.from_numpy(np.stack([one["frames"]] * 2))}
    windows = [WINDOWS[40], WINDOWS[7]._replace(start=0)]
    found = mirrored(windows, again, seed=3, epoch=5)["frames"].numpy()
    np.testing.assert_array_equal(found, frames[[40, 7]])
    for change in ({"seed": 4}, {"epoch": 6}):
        assert not np.array_equal(mirrored_clips(one, **change)["frames"], frames)

"""Sheets hold the pictures that were put in, in their order."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from ocvp.pictures.sheets import columns_of, frame_sheet, label_sheet, slot_sheet


def tiles_of(uri, height, width, count):
    """Cut a sheet as the page does, which sees the opacity of every picture."""
    head, content = uri.split(",")
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(content))).convert("RGBA"))
    across = columns_of(count)
    places = [divmod(tile, across) for tile in range(count)]
    return head, np.stack(
        [
            picture[row * height : (row + 1) * height, column * width : (column + 1) * width]
            for row, column in places
        ]
    )


@pytest.mark.parametrize("count", [1, 5, 16, 17])
def test_small_frames_and_labels_are_stored_as_they_are(count):
    rng = np.random.default_rng(count)
    frames = rng.integers(0, 256, (count, 6, 9, 3), np.uint8)
    head, found = tiles_of(frame_sheet(frames), 6, 9, count)
    assert head == "data:image/webp;base64"
    np.testing.assert_array_equal(found[..., :3], frames)
    labels = rng.integers(0, 256, (count, 6, 9))
    head, found = tiles_of(label_sheet(labels), 6, 9, count)
    assert head == "data:image/png;base64"
    np.testing.assert_array_equal(found[..., 0], labels)


def test_large_frames_are_made_small():
    ramp = np.linspace(0, 255, 128).astype(np.uint8)
    frames = np.broadcast_to(ramp[:, None, None], (3, 128, 128, 3)).copy()
    frames[1] = 255 - frames[0]
    _, found = tiles_of(frame_sheet(frames), 128, 128, 3)
    assert np.abs(found[..., :3].astype(int) - frames).mean() < 2
    noise = np.random.default_rng(0).integers(0, 256, (2, 128, 128, 3), np.uint8)
    assert len(frame_sheet(noise)) < noise.nbytes


def test_slots_lie_frame_by_frame_with_their_masks_as_opacity():
    objects = np.zeros((2, 3, 4, 4, 3), np.float32)
    objects[..., 0] = np.arange(6).reshape(2, 3, 1, 1) / 10
    masks = np.full((2, 3, 4, 4), 1.0, np.float32)
    masks[1, 2] = 0.5
    masks[0, 1] = 0
    _, found = tiles_of(slot_sheet(objects, masks), 4, 4, 6)
    assert found[:, 0, 0, 0].tolist() == [0, 0, 51, 76, 102, 128]  # nothing is seen of the second
    assert found[:, 0, 0, 3].tolist() == [255, 0, 255, 255, 255, 128]


def test_single_slots_of_large_frames_are_thinned():
    objects = np.zeros((1, 1, 128, 128, 3), np.float32)
    _, found = tiles_of(slot_sheet(objects, np.ones((1, 1, 128, 128))), 64, 64, 1)
    assert found.shape == (1, 64, 64, 4)

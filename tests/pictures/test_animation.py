"""Animations frame by frame, and read back from the file."""

import numpy as np
import pytest
from PIL import Image

from ocvp.pictures.animation import rollout_animation, save_gif
from ocvp.pictures.strips import CONTEXT_COLOUR, EMPTY, PREDICTED_COLOUR

SIZE = 16


def flat_frames(count, blue):
    frames = np.zeros((count, SIZE, SIZE, 3), dtype=np.uint8)
    frames[..., 1] = 20 * np.arange(1, count + 1)[:, None, None]
    frames[..., 2] = blue
    return frames


def area(picture, colour):
    return int((picture == colour).all(axis=-1).sum())


@pytest.fixture
def pictures():
    return rollout_animation(flat_frames(5, 255), flat_frames(3, 100), num_context=2, factor=4)


def test_each_picture_shows_its_own_frames(pictures):
    assert len(pictures) == 5
    assert len({picture.shape for picture in pictures}) == 1
    for t, picture in enumerate(pictures):
        assert picture.dtype == np.uint8
        assert area(picture, (0, 20 * (t + 1), 255)) == (4 * SIZE) ** 2
        assert area(picture, (0, 20 * (t - 1), 100)) == (0 if t < 2 else (4 * SIZE) ** 2)
        # Shades at the edges of letters can be of the same grey.
        assert area(picture, EMPTY) // 100 == ((4 * SIZE) ** 2 // 100 if t < 2 else 0)


def test_context_and_prediction_are_marked(pictures):
    border = 4 * (4 * SIZE + 3) * 3 * 2  # two frames of 3 pixels around two cells
    for t, picture in enumerate(pictures):
        marked, other = CONTEXT_COLOUR, PREDICTED_COLOUR
        if t >= 2:
            marked, other = other, marked
        assert area(picture, marked) > border > area(picture, other)
    # The bar fills up.
    assert area(pictures[1], CONTEXT_COLOUR) > area(pictures[0], CONTEXT_COLOUR)
    assert area(pictures[4], PREDICTED_COLOUR) > area(pictures[3], PREDICTED_COLOUR)


def test_masks_are_further_columns(pictures):
    labels = np.ones((5, SIZE, SIZE), dtype=np.uint8)
    with_masks = rollout_animation(
        flat_frames(5, 255),
        flat_frames(3, 100),
        num_context=2,
        true_labels=labels,
        predicted_labels=labels[:3],
    )
    assert with_masks[0].shape[0] == pictures[0].shape[0]
    assert with_masks[0].shape[1] > 1.9 * (pictures[0].shape[1] - 24)
    with pytest.raises(ValueError, match="6 predicted frames, but only 5"):
        rollout_animation(flat_frames(5, 255), flat_frames(6, 100), num_context=2)


def test_gif_plays_all_pictures_at_the_rate_asked(pictures, tmp_path):
    save_gif(tmp_path / "rollout.gif", pictures, fps=5)
    with Image.open(tmp_path / "rollout.gif") as gif:
        assert gif.n_frames == 5
        assert gif.info["loop"] == 0
        for t, picture in enumerate(pictures):
            gif.seek(t)
            assert gif.info["duration"] == 200
            shown = np.array(gif.convert("RGB"))
            assert area(shown, (0, 20 * (t + 1), 255)) == (4 * SIZE) ** 2
            # Some shades at the edges of letters are joined.
            assert np.abs(shown.astype(int) - picture).mean() < 0.5
    assert [path.name for path in tmp_path.iterdir()] == ["rollout.gif"]


def test_gif_of_up_to_256_colours_is_exact(tmp_path):
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16)
    picture = np.stack([ramp, ramp[::-1], ramp.T], axis=-1)
    save_gif(tmp_path / "ramp.gif", [picture, picture[::-1]], fps=5)
    with Image.open(tmp_path / "ramp.gif") as gif:
        assert np.array_equal(np.array(gif.convert("RGB")), picture)
        gif.seek(1)
        assert np.array_equal(np.array(gif.convert("RGB")), picture[::-1])


def test_gif_of_many_colours_keeps_the_marks_and_comes_close(tmp_path):
    rng = np.random.default_rng(0)
    frames = rng.integers(256, size=(3, SIZE, SIZE, 3)).astype(np.uint8)
    pictures = rollout_animation(frames, frames, num_context=1)
    save_gif(tmp_path / "rollout.gif", pictures, fps=5)
    with Image.open(tmp_path / "rollout.gif") as gif:
        for t, picture in enumerate(pictures):
            gif.seek(t)
            shown = np.array(gif.convert("RGB"))
            for colour in ((255, 255, 255), CONTEXT_COLOUR, PREDICTED_COLOUR):
                marked = (picture == colour).all(axis=-1)
                assert (shown[marked] == colour).all()
            assert np.abs(shown.astype(int) - picture).mean() < 10


def test_still_pictures_keep_their_length(tmp_path):
    """Equal pictures may be joined in the file, but not shortened in time."""
    save_gif(tmp_path / "still.gif", [np.zeros((8, 8, 3), np.uint8)] * 4, fps=10)
    with Image.open(tmp_path / "still.gif") as gif:
        total = 0
        for t in range(gif.n_frames):
            gif.seek(t)
            total += gif.info["duration"]
    assert total == 400


def test_impossible_animations_are_refused(pictures, tmp_path):
    with pytest.raises(ValueError, match="at least one picture"):
        save_gif(tmp_path / "rollout.gif", [], fps=5)
    for fps in (0, 60):
        with pytest.raises(ValueError, match=f"fps is {fps}"):
            save_gif(tmp_path / "rollout.gif", pictures, fps=fps)
    assert list(tmp_path.iterdir()) == []

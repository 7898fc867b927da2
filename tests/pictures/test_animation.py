"""Animations frame by frame, and read back from the file."""

import av
import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import maximum_filter, minimum_filter
from scipy.spatial import cKDTree
from tiny import small_disk

from ocvp.pictures.animation import (
    animation,
    gif_rate,
    gif_rate_note,
    save_gif,
    save_mp4,
)
from ocvp.pictures.overlays import upscale
from ocvp.pictures.strips import CONTEXT_COLOUR, EMPTY, INK, PREDICTED_COLOUR, Row

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
    views = [Row("Truth", large(5, 255)), Row("Prediction", large(3, 100), first=2)]
    return animation([views], num_context=2)


def large(count, blue):
    return upscale(flat_frames(count, blue), 4)


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


def test_views_stand_in_rows_and_columns_under_a_title(pictures):
    view = Row("Truth", large(5, 255))
    grid = animation([[view, view], [None, view]], num_context=2)
    assert grid[0].shape[1] <= pictures[0].shape[1]
    assert area(grid[0], (0, 20, 255)) == 3 * (4 * SIZE) ** 2
    lower = grid[0][grid[0].shape[0] // 2 :, : grid[0].shape[1] // 2]
    assert area(lower, (0, 20, 255)) == 0  # nothing is drawn in an empty place
    titled = animation([[view]], num_context=2, title="a title that is wider than the view")
    assert titled[0].shape > animation([[view]], num_context=2)[0].shape


def test_words_under_small_views_do_not_overlap():
    small = animation([[Row("a", upscale(flat_frames(12, 255), 2))]], num_context=2)
    words = small[-1][-30:]  # the lines under the bar of time
    state = (words == PREDICTED_COLOUR).all(axis=-1).any(axis=0)  # columns of "Predicted, +10"
    frame = (words == INK).all(axis=-1).any(axis=0)  # of "Frame 12 of 12"
    assert np.flatnonzero(frame).max() + 2 < np.flatnonzero(state).min()


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
    views = [Row("Truth", upscale(frames, 4)), Row("Prediction", upscale(frames, 4))]
    pictures = animation([views], num_context=1)
    save_gif(tmp_path / "rollout.gif", pictures, fps=5)
    with Image.open(tmp_path / "rollout.gif") as gif:
        for t, picture in enumerate(pictures):
            gif.seek(t)
            shown = np.array(gif.convert("RGB"))
            for colour in ((255, 255, 255), CONTEXT_COLOUR, PREDICTED_COLOUR):
                marked = (picture == colour).all(axis=-1)
                assert (shown[marked] == colour).all()
            assert np.abs(shown.astype(int) - picture).mean() < 10


def test_gif_takes_the_nearest_of_its_colours(tmp_path):
    picture = np.random.default_rng(0).integers(256, size=(300, 300, 3)).astype(np.uint8)
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 2**16, "more than are compared at once"
    save_gif(tmp_path / "noise.gif", [picture], fps=5)
    with Image.open(tmp_path / "noise.gif") as gif:
        shown = np.array(gif.convert("RGB")).reshape(-1, 3).astype(int)
    wanted = picture.reshape(-1, 3)
    nearest, _ = cKDTree(np.unique(shown, axis=0)).query(wanted)
    assert np.linalg.norm(shown - wanted, axis=1) == pytest.approx(nearest)


def test_still_pictures_keep_their_length(tmp_path):
    """Equal pictures may be joined in the file, but not shortened in time."""
    save_gif(tmp_path / "still.gif", [np.zeros((8, 8, 3), np.uint8)] * 4, fps=10)
    with Image.open(tmp_path / "still.gif") as gif:
        total = 0
        for t in range(gif.n_frames):
            gif.seek(t)
            total += gif.info["duration"]
    assert total == 400


@pytest.mark.parametrize(
    ("fps", "hundredths"),
    # at 15, 6 hundredths would be 1.7 frames a second away, 7 are 0.7; browsers slow down below 2
    [(5, 20), (12, 8), (15, 7), (24, 4), (30, 3), (50, 2), (60, 2), (1000, 2), (1e-9, 65535)],
)
def test_gif_plays_at_the_nearest_rate_that_it_has(fps, hundredths, tmp_path):
    save_gif(tmp_path / "x.gif", flat_frames(3, 0), fps)
    with Image.open(tmp_path / "x.gif") as gif:
        assert gif.info["duration"] == 10 * hundredths
    assert gif_rate(fps) == pytest.approx(100 / hundredths)
    rates = np.array([100 / n for n in range(2, 65536)])
    assert abs(gif_rate(fps) - fps) == pytest.approx(np.abs(rates - fps).min())


def test_another_rate_is_said_and_the_same_is_not():
    assert gif_rate_note(30) == (
        "animations play at 33.3 frames a second, the nearest that GIF has to 30"
    )
    assert gif_rate_note(1000).endswith("at 50 frames a second, the nearest that GIF has to 1000")
    assert gif_rate_note(5) == gif_rate_note(100 / 3) == gif_rate_note(33.3) == ""


def decoded(path):
    """Return the frames of a film, (T, height, width, 3), and what the file says of it."""
    with av.open(str(path)) as container:
        (stream,) = container.streams
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
        return np.stack(frames), stream, container.duration / av.time_base


@pytest.mark.parametrize("fps", [5, 30, 29.97, 0.5])
def test_mp4_holds_all_pictures_at_the_rate_asked(pictures, tmp_path, fps):
    pictures = [picture[1:] for picture in pictures]
    height, width = pictures[0].shape[:2]
    assert (height % 2, width % 2) == (1, 0), "the height is padded, the width is not"
    save_mp4(tmp_path / "rollout.mp4", pictures, fps)
    found, stream, seconds = decoded(tmp_path / "rollout.mp4")
    assert found.shape == (5, height + 1, width, 3)
    assert float(stream.average_rate) == pytest.approx(fps)
    assert seconds == pytest.approx(5 / fps, abs=1e-3)  # the file counts in ms
    assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
    assert [path.name for path in tmp_path.iterdir()] == ["rollout.mp4"]


def test_mp4_keeps_colours(pictures, tmp_path):
    pictures = [picture[1:] for picture in pictures]
    save_mp4(tmp_path / "rollout.mp4", pictures, 10)
    found, stream, _ = decoded(tmp_path / "rollout.mp4")
    assert stream.codec_context.colorspace == 1  # BT.709, as players are told
    assert (found[:, -1] == 255).all(axis=-1).mean() > 0.99  # the row that was added
    for picture, shown in zip(pictures, found[:, :-1], strict=True):
        error = np.abs(shown.astype(int) - picture)
        assert error.mean() < 5  # colours blur over an edge of two pixels
        # Where all neighbours have the same colour, nothing blurs into it.
        near = (9, 9, 1)
        is_flat = maximum_filter(picture, near) == minimum_filter(picture, near)
        flat = is_flat.all(axis=-1)
        assert flat.mean() > 0.3
        assert error[flat].max() <= 6


def test_mp4_of_one_tiny_picture(tmp_path):
    save_mp4(tmp_path / "one.mp4", [np.full((1, 1, 3), 90, np.uint8)], 5)
    found, _, seconds = decoded(tmp_path / "one.mp4")
    assert (found.shape, seconds) == ((1, 2, 2, 3), 0.2)


def test_the_same_pictures_make_the_same_mp4(pictures, tmp_path):
    for name in ("a.mp4", "b.mp4"):
        save_mp4(tmp_path / name, pictures, 5)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_a_full_disk_leaves_no_half_mp4(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (8, 256, 256, 3), np.uint8)
    with small_disk(tmp_path / "disk", 200) as disk:
        with pytest.raises(OSError, match=f"no space left for {disk / 'film.mp4'}"):
            save_mp4(disk / "film.mp4", list(noise), 5)
        assert list(disk.iterdir()) == []


def test_impossible_animations_are_refused(pictures, tmp_path):
    for save in (save_gif, save_mp4):
        with pytest.raises(ValueError, match="at least one picture"):
            save(tmp_path / "rollout", [], fps=5)
        for fps in (0, -1, float("inf"), float("nan")):
            with pytest.raises(ValueError, match=f"fps is {fps}"):
                save(tmp_path / "rollout", pictures, fps=fps)
    for fps in (0.001, 1001):
        with pytest.raises(ValueError, match=f"fps is {fps}, allowed is 0.01 to 1000"):
            save_mp4(tmp_path / "rollout", pictures, fps=fps)
    assert list(tmp_path.iterdir()) == []

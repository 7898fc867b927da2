"""What a look at a folder of videos finds, on videos whose motion is known."""

import numpy as np
import pytest
from PIL import Image
from raw_trees import write_film, write_pictures

from ocvp.data.films import Pace
from ocvp.data.folder.look import common_rate, look, things_in
from ocvp.data.raw_videos import MissingDataError

EVEN = Pace(10.0, 0.1, 0.1, True)


def moving_squares(num_squares=2, *, num_frames=20, size=(64, 96), side=8, step=3, first=0):
    """Return frames (T, H, W, 3): squares in rows of their own, going right and starting anew."""
    height, width = size
    frames = np.full((num_frames, height, width, 3), 90, np.uint8)
    for t in range(num_frames):
        for k in range(num_squares):
            left = int(first + 40 * k + step * t) % (width - side)
            top = 4 + 20 * k
            frames[t, top : top + side, left : left + side] = (250, 40 * k, 20)
    return frames


def write_folder_of_films(folder, num_films=3, rate=10, **changes):
    for number in range(num_films):
        frames = moving_squares(first=5 * number, **changes)
        write_film(folder / f"film_{number}.mp4", frames, rate)


def textured(frames):
    """Return frames whose ground has a texture, the same in all of them."""
    texture = np.random.default_rng(1).integers(0, 256, frames.shape[1:], np.uint8)
    return np.where(frames == 90, texture, frames)


@pytest.mark.parametrize(
    ("ground", "number"), [(np.asarray, 3), (textured, 0)], ids=["plain", "textured"]
)
def test_moving_things_are_measured_and_counted_on_a_plain_ground(ground, number):
    found = things_in(ground(moving_squares(3)), (64, 96))
    assert found.number == number
    assert np.median(found.speeds) == pytest.approx(3 / 64, rel=0.05)
    assert np.median(found.sides) == pytest.approx(8 / 64, rel=0.1)
    assert found.share == pytest.approx(3 * 64 / (64 * 96), rel=0.1)


def test_what_is_slow_is_counted_once_on_a_plain_ground():
    """Its own width takes it longer than the film is, so that most pixels never show the ground."""
    assert things_in(moving_squares(2, side=16, step=0.5), (64, 96)).number == 2


def test_what_lies_still_is_seen_on_a_plain_ground_only():
    frames = moving_squares(2, step=0)
    frames += np.random.default_rng(0).integers(0, 5, frames.shape, np.uint8)
    found = things_in(frames, (64, 96))
    assert found.number == 2
    assert max(found.speeds) == pytest.approx(0)
    assert things_in(textured(moving_squares(2, step=0)), (64, 96)) == ((64, 96), 0.0, [], [], 0)


def test_now_and_then_a_speck_counts_no_thing():
    frames = moving_squares(1, num_frames=30)
    frames[7, 50:54, 80:84] = 255  # once
    frames[:, 60, ::30] = np.arange(30)[:, None, None] % 2 * 255  # single pixels
    assert things_in(frames, (64, 96)).number == 1


def test_a_folder_of_films_is_looked_at(tmp_path):
    write_folder_of_films(tmp_path / "films")
    write_film(tmp_path / "films" / "short.mp4", moving_squares(num_frames=12))
    seen = look(tmp_path / "films")
    assert (seen.num_videos, seen.num_train, seen.num_frames) == (4, None, 12)
    assert seen.shortest.endswith("short.mp4")
    assert (seen.size, seen.fps, seen.num_things) == ((64, 96), None, 2)
    assert seen.speed == pytest.approx(3 / 64)


def test_measures_do_not_depend_on_the_size_of_the_source(tmp_path):
    small = moving_squares()
    large = small.repeat(2, axis=1).repeat(2, axis=2)
    write_film(tmp_path / "small" / "a.mp4", small)
    write_film(tmp_path / "large" / "a.mp4", large)
    small_seen, large_seen = look(tmp_path / "small"), look(tmp_path / "large")
    assert large_seen.size == (128, 192)
    assert large_seen.speed == pytest.approx(small_seen.speed)
    assert large_seen.thing == pytest.approx(small_seen.thing)


def test_folders_of_pictures_and_of_splits_are_looked_at(tmp_path):
    for number, split in enumerate(("train", "train", "val", "test")):
        names = [f"{t:03d}.png" for t in range(20)]
        write_pictures(tmp_path / split / f"video_{number}", moving_squares(), names)
    seen = look(tmp_path)
    assert (seen.num_videos, seen.num_train, seen.num_frames) == (4, 2, 20)
    assert seen.num_things == 2


def test_films_of_several_rates_are_sampled_at_the_slowest(tmp_path):
    write_folder_of_films(tmp_path, rate=10)
    write_film(tmp_path / "fast.mp4", moving_squares(num_frames=30), rate=20)
    seen = look(tmp_path)
    assert seen.fps == 10
    assert seen.num_frames == 15  # of the fast one, every second one
    assert seen.shortest.endswith("fast.mp4")


@pytest.mark.parametrize(
    ("paces", "rate"),
    [
        ([EVEN, EVEN._replace(fps=10.1)], None),
        ([EVEN, EVEN._replace(fps=25.0)], 10),
        ([EVEN, EVEN._replace(is_even=False)], 10),
        ([EVEN, None], None),  # pictures say no times
        ([EVEN._replace(fps=29.97003), EVEN._replace(fps=60.0)], 29.97),
    ],
)
def test_the_common_rate(paces, rate):
    assert common_rate(paces) == rate


def refused(folder, *parts):
    with pytest.raises(ValueError, match=".*".join(map(str, parts))):
        look(folder)


def test_what_is_no_folder_of_videos_is_refused_by_name(tmp_path):
    with pytest.raises(MissingDataError, match="missing does not exist"):
        look(tmp_path / "missing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingDataError, match="empty holds no videos"):
        look(tmp_path / "empty")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "notes.txt").write_text("no film")
    refused(tmp_path / "notes", "notes.txt is neither")
    write_folder_of_films(tmp_path / "above" / "films", 1)
    refused(tmp_path / "above", tmp_path / "above" / "films", "without pictures")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "a.mp4").write_bytes(b"no film")
    refused(tmp_path / "broken", "a.mp4 cannot be read as a video")
    folder = tmp_path / "gap" / "a"
    folder.mkdir(parents=True)
    for number in (1, 2, 3, 5):
        Image.new("RGB", (32, 32)).save(folder / f"{number}.png")
    refused(tmp_path / "gap", "5.png follows 3.png")

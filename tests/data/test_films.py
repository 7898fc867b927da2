"""Films: the frames that players show, turned as they turn them, at the times that they show."""

from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image
from raw_trees import write_film

from ocvp.data.films import Film, Pace

ONE = 1 << 16  # of a display matrix
SIZE = (16, 24)
GRAYS = np.arange(10, dtype=np.uint8) * 20


def gray_frames(grays=GRAYS, size=SIZE):
    return np.stack([np.full((*size, 3), gray, np.uint8) for gray in grays])


def write(path, frames, *, times=None, rate=10, matrix=None, codec="libx264rgb"):
    """Write a film without loss, with frames shown at multiples of 1 / rate."""
    with av.open(str(path), "w") as container:
        options = {"qp": "0"} if codec == "libx264rgb" else {}
        stream = container.add_stream(codec, rate=rate, options=options)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "rgb24" if codec == "libx264rgb" else "bgr0"
        if matrix is not None:
            stream.set_display_matrix(matrix)
        for index, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(frame, "rgb24")
            if times is not None:
                picture.pts, picture.time_base = times[index], Fraction(1, rate)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path


def grays_of(film, *arguments):
    return [int(np.asarray(picture)[0, 0, 0]) for picture in film.read(*arguments)]


def test_frames_are_counted_to_the_end_or_not_so_far(tmp_path):
    film = Film(write(tmp_path / "film.mp4", gray_frames()))
    assert (film.count(), film.count(4), film.count(100)) == (10, 4, 10)
    assert film.pace is not None
    assert (film.pace.fps, film.pace.is_even) == (10, True)


# --- orientation -------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["mp4", "mov", "mkv"])
@pytest.mark.parametrize(
    ("a", "b", "c", "d"),
    [
        (1, 0, 0, 1),
        (-1, 0, 0, 1),
        (1, 0, 0, -1),
        (-1, 0, 0, -1),
        (0, 1, 1, 0),
        (0, 1, -1, 0),
        (0, -1, 1, 0),
        (0, -1, -1, 0),
    ],
)
def test_a_pixel_is_shown_where_the_display_matrix_puts_it(tmp_path, ending, a, b, c, d):
    frame = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
    matrix = [a * ONE, b * ONE, 0, c * ONE, d * ONE, 0, 0, 0, 1 << 30]
    film = write(tmp_path / f"a.{ending}", frame[None].repeat(2, 0), matrix=matrix)
    places = {(x, y): (a * x + c * y, b * x + d * y) for y in range(16) for x in range(24)}
    left, top = (min(place[axis] for place in places.values()) for axis in (0, 1))
    shown = np.zeros((24, 16, 3) if b else (16, 24, 3), np.uint8)
    for (x, y), (to_x, to_y) in places.items():
        shown[to_y - top, to_x - left] = frame[y, x]
    for picture in Film(film).read():
        np.testing.assert_array_equal(np.asarray(picture), shown)


def test_a_film_at_an_angle_is_named(tmp_path):
    half = round(ONE * 0.5**0.5)
    matrix = [half, half, 0, -half, half, 0, 0, 0, 1 << 30]
    film = write(tmp_path / "slanted.mp4", gray_frames(), matrix=matrix)
    with pytest.raises(ValueError, match=r"slanted\.mp4 .* another angle than quarters"):
        list(Film(film).read())


# --- which stream, and one size ------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
@pytest.mark.parametrize("is_marked", [True, False])
def test_a_cover_is_no_film(tmp_path, ending, is_marked):
    path = tmp_path / f"a.{ending}"
    frames = gray_frames(size=(32, 48))
    with av.open(str(path), "w") as container:
        cover = container.add_stream("mjpeg")
        cover.height, cover.width, cover.pix_fmt = 64, 64, "yuvj420p"
        if is_marked:
            cover.disposition = av.stream.Disposition.attached_pic
        film = container.add_stream("libx264rgb", rate=10, options={"qp": "0"})
        film.height, film.width, film.pix_fmt = 32, 48, "rgb24"
        picture = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), "rgb24")
        container.mux(cover.encode(picture))
        container.mux(cover.encode())
        for frame in frames:
            container.mux(film.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        container.mux(film.encode())
    found = list(Film(path).read())
    assert [picture.size for picture in found] == [(48, 32)] * 10
    np.testing.assert_array_equal(np.stack(found), frames)
    assert Film(path).count() == 10


def test_sound_with_a_cover_is_no_film(tmp_path):
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        sound = container.add_stream("aac", rate=8000, layout="mono")
        cover = container.add_stream("mjpeg")
        cover.height, cover.width, cover.pix_fmt = 64, 64, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        picture = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), "rgb24")
        container.mux(cover.encode(picture))
        container.mux(cover.encode())
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        samples.sample_rate = 8000
        container.mux(sound.encode(samples))
        container.mux(sound.encode())
    with pytest.raises(ValueError, match=r"sound\.mp4 cannot be read as a video: it holds no film"):
        list(Film(path).read())


def joined(path, sizes):
    """Write a stream of MPEG-2 whose size changes, as recorders of screens leave it."""
    content = b""
    for size in sizes:
        part = path.with_suffix(".part.mpg")
        frames = np.zeros((4, *size, 3), np.uint8)
        with av.open(str(part), "w") as container:
            stream = container.add_stream("mpeg2video", rate=25)
            stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
            for frame in frames:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
            container.mux(stream.encode())
        content += part.read_bytes()
    path.write_bytes(content)
    return path


def test_a_size_that_changes_is_named_with_its_frame(tmp_path):
    film = joined(tmp_path / "turned.mpg", [(32, 48), (48, 32)])
    sizes = r"turned\.mpg .*: frame \d \(from 0\) is 32x48, those before it are 48x32; all must"
    with pytest.raises(ValueError, match=sizes):
        list(Film(film).read())
    assert len(list(Film(film).read(stop=3))) == 3


# --- times -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ending", "rate"),
    [("mp4", 10), ("mp4", 30), ("mkv", 30), ("mkv", 60), ("mkv", 240), ("avi", 25)],
)
def test_rounded_times_are_even(tmp_path, ending, rate):
    codec = "ffv1" if ending == "avi" else "libx264rgb"
    film = Film(write(tmp_path / f"a.{ending}", gray_frames(), rate=rate, codec=codec))
    assert film.pace is None
    list(film.read())
    assert film.pace.is_even
    assert film.pace.fps == pytest.approx(rate, rel=0.02)


@pytest.mark.parametrize("ending", ["mp4", "mkv", "avi"])
def test_a_frame_that_was_dropped_shows_in_the_pace(tmp_path, ending):
    codec = "ffv1" if ending == "avi" else "libx264rgb"
    times = [0, 1, 2, 3, 5, 6, 7, 8, 9, 10]
    film = Film(write(tmp_path / f"a.{ending}", gray_frames(), times=times, codec=codec))
    list(film.read())
    assert film.pace == Pace(10.0, 0.1, 0.2, is_even=False)
    list(film.read(4))  # what is not taken does not count
    assert film.pace.is_even
    list(film.read(0, 4))
    assert film.pace.is_even
    list(film.read(0, 10, 3))
    assert not film.pace.is_even


def test_a_gif_that_rests_shows_in_the_pace(tmp_path):
    pictures = [Image.fromarray(frame) for frame in gray_frames()]
    durations = [100] * 3 + [500] + [100] * 6
    path = tmp_path / "a.gif"
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=durations)
    film = Film(path)
    assert grays_of(film) == GRAYS.tolist()
    assert film.pace == Pace(10.0, 0.1, 0.5, is_even=False)
    assert grays_of(Film(path, fps=10)) == [0, 20, 40, *[60] * 5, 80, 100, 120, 140, 160, 180]
    assert grays_of(Film(path, fps=5)) == [0, 40, 60, 60, 80, 120, 160]
    pictures[0].save(path, save_all=True, append_images=pictures[1:4], duration=[100] * 3 + [300])
    assert grays_of(Film(path, fps=10)) == [0, 20, 40, 60, 60, 60]


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
@pytest.mark.parametrize(
    ("fps", "times", "indices"),
    [
        (10, None, range(10)),
        (5, None, range(0, 10, 2)),
        (20, None, [k // 2 for k in range(20)]),
        (4, None, [0, 2, 5, 7]),  # at 0, 0.25, 0.5 and 0.75 s
        (10, [0, 1, 2, 3, 8, 9, 10, 11, 12, 13], [0, 1, 2, 3, 3, 3, 3, 3, 4, 5, 6, 7, 8, 9]),
        (5, [5, 6, 7, 8, 13, 14, 15, 16, 17, 18], [0, 2, 3, 3, 4, 6, 8]),
    ],
)
def test_a_rate_takes_what_is_shown_at_its_times(tmp_path, ending, fps, times, indices):
    film = write(tmp_path / f"a.{ending}", gray_frames(), times=times)
    wanted = GRAYS[list(indices)].tolist()
    assert grays_of(Film(film, fps=fps)) == wanted
    assert Film(film, fps=fps).count() == len(wanted)
    assert grays_of(Film(film, fps=fps), 1, 5, 2) == wanted[1:5:2]


@pytest.mark.parametrize("rate", [24, 30, 60])
def test_a_film_at_its_own_rate_is_itself_where_times_are_rounded(tmp_path, rate):
    film = write(tmp_path / "a.mkv", gray_frames(), rate=rate)
    assert grays_of(Film(film, fps=rate)) == GRAYS.tolist()


def test_a_film_whose_times_go_back_has_no_rate(tmp_path):
    film = joined(tmp_path / "joined.mpg", [SIZE, SIZE])
    with pytest.raises(ValueError, match=r"joined\.mpg .*frame \d \(from 0\) has no time after"):
        list(Film(film, fps=10).read())
    found = Film(film)
    list(found.read())
    assert not found.pace.is_even


def test_frames_of_a_film_are_read_from_any_to_any(tmp_path):
    film = write_film(tmp_path / "a.mp4", gray_frames())
    assert grays_of(Film(film), 2, 9, 3) == GRAYS[2:9:3].tolist()
    assert grays_of(Film(film), 10) == []

"""Pictures in a folder: one video's belong together, in order, and none is missing or doubled."""

import pytest

from ocvp.data.picture_series import check_spacing, read_series


def folder_of(root, *names):
    root.mkdir(exist_ok=True)
    for name in names:
        (root / name).touch()
    return root


def numbered(text, numbers):
    return [text.format(number) for number in numbers]


@pytest.mark.parametrize(
    "names",
    [
        numbered("rgba_{:05d}.png", range(12)),  # Kubric
        numbered("{:05d}.jpg", range(12)),  # DAVIS
        numbered("frame_{}.png", range(8, 12)),
        numbered("img-{:04d}-left.png", range(12)),
        numbered("video_12_frame_{:03d}.png", range(12)),
        numbered("{:03d}_640x480.png", range(12)),  # the number comes first
        numbered("frame ({}).png", range(1, 12)),  # as Windows numbers what is renamed together
        numbered("scene.{:04d}.png", range(12)),
        ["0001.png", "0002.JPG", "0003.jpeg"],
        [f"{k:04d}_t{k / 2}.png" for k in range(9, 13)],  # frame and time
        [f"{k:04d}_{k**3:06d}.png" for k in range(9, 13)],  # frame and anything that rises
        ["20240501_235958.png", "20240501_235959.png", "20240502_000000.png"],
        ["2024-05-01T10-20-59.png", "2024-05-01T10-21-00.png", "2024-05-01T10-21-01.png"],
        ["a.png", "b.png", "c.png"],
        ["only_7.png"],
    ],
)
def test_names_that_differ_in_one_number_are_one_video(tmp_path, names):
    folder = folder_of(tmp_path / "video", *reversed(names), "notes_1.txt", ".hidden_1.png")
    pictures = read_series(folder)
    assert [picture.path.name for picture in pictures] == names
    check_spacing(pictures, 0)


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (
            numbered("rgba_{}.png", range(3)) + numbered("depth_{}.png", range(3)),
            r"depth_\* \(3 pictures\), rgba_\* \(3 pictures\)",
        ),
        (
            numbered("img-{}-left.png", range(3)) + numbered("img-{}-right.png", range(3)),
            r"img-\*-left \(3 pictures\), img-\*-right \(3 pictures\)",
        ),
        (
            [f"cam{cam}_{frame:04d}.png" for cam in (0, 1) for frame in range(3)],
            r"cam0_\* \(3 pictures\), cam1_\* \(3 pictures\)",
        ),
        (
            [f"{frame:04d}-{cam}.png" for cam in (0, 1) for frame in range(3)],
            r"\*-0 \(3 pictures\), \*-1 \(3 pictures\)",
        ),
        (
            [f"{frame}{what}.png" for frame in range(3) for what in ("", "_mask")],
            r"\* \(3 pictures\), \*_mask \(3 pictures\)",
        ),
        ([*numbered("{}.png", range(5)), "3 (1).png"], r"\* \(5 pictures\), 3 \(1\)\.png"),
        ([*numbered("{}.png", range(5)), "3 copy.png"], r"\* \(5 pictures\), 3 copy\.png"),
        ([*numbered("{}.png", range(5)), "3_1.png"], r"\* \(5 pictures\), 3_1\.png"),
        ([*numbered("{}.png", range(5)), "cover.jpg"], r"\* \(5 pictures\), cover\.jpg"),
        (numbered("{}_0.png", "abcdefgh"), r"a_0\.png, .*, f_0\.png and 2 more"),
    ],
)
def test_several_series_are_named(tmp_path, names, told):
    folder = folder_of(tmp_path / "video", *names)
    with pytest.raises(ValueError, match=rf"video holds several series of pictures: {told};"):
        read_series(folder)


@pytest.mark.parametrize(
    ("pattern", "first"),
    [("rgba_*", "rgba_0.png"), ("rgba_*.png", "rgba_0.png"), ("*", "0.png"), ("?", "0.png")],
)
def test_a_pattern_names_one_series(tmp_path, pattern, first):
    names = [f"{what}{k}.png" for k in range(3) for what in ("rgba_", "depth_", "")]
    pictures = read_series(folder_of(tmp_path / "video", *names), pattern)
    assert [picture.number for picture in pictures] == [0, 1, 2]
    assert pictures[0].path.name == first


def test_a_pattern_that_fits_nothing_or_several_series_is_named(tmp_path):
    names = [f"{what}_{k}.png" for k in range(3) for what in ("rgba", "depth")]
    folder = folder_of(tmp_path / "video", *names)
    reason = r"pattern is 'rgb_\*', which fits none of the 6 pictures in .*video \(such as depth_0"
    with pytest.raises(ValueError, match=reason):
        read_series(folder, "rgb_*")
    with pytest.raises(ValueError, match="holds several series"):
        read_series(folder, "*_*.png")


@pytest.mark.parametrize("other", ["00003.jpg", "3.png", "00003.PNG"])
def test_two_pictures_of_one_frame_are_named(tmp_path, other):
    folder = folder_of(tmp_path / "video", *numbered("{:05d}.png", range(5)), other)
    with pytest.raises(ValueError, match=r"video holds two pictures of one frame, ") as error:
        read_series(folder)
    assert other in str(error.value)
    assert "00003.png" in str(error.value)


@pytest.mark.parametrize(
    "numbers",
    [
        range(0, 50, 10),
        range(1, 8),
        (7, 8),
        # Nanoseconds of a camera, which are rounded.
        [1403636579763555584, 1403636579813555456, 1403636579863555584, 1403636579913555456],
        (33, 67, 100, 133, 167),
    ],
)
def test_even_steps_are_accepted(tmp_path, numbers):
    check_spacing(read_series(folder_of(tmp_path / "video", *numbered("{}.png", numbers))), 0)


@pytest.mark.parametrize(
    ("numbers", "told"),
    [
        ((0, 1, 2, 4, 5), r"4\.png follows 2\.png: the number rises by 2 there, elsewhere by 1"),
        ((0, 2, 3), r"2\.png follows 0\.png: the number rises by 2 there, elsewhere by 1"),
        ((0, 10, 20, 40, 50), r"40\.png follows 20\.png: .* by 20 there, elsewhere by 10"),
        ((0, 10, 20, 25, 30, 40), r"25\.png follows 20\.png: .* by 5 there, elsewhere by 10"),
    ],
)
def test_a_gap_is_named(tmp_path, numbers, told):
    pictures = read_series(folder_of(tmp_path / "video", *numbered("{}.png", numbers)))
    with pytest.raises(ValueError, match=told):
        check_spacing(pictures, 0)


def test_only_the_pictures_that_count_are_looked_at(tmp_path):
    numbers = (0, 2, 3, 4, 5, 7)
    pictures = read_series(folder_of(tmp_path / "video", *numbered("{}.png", numbers)))
    check_spacing(pictures, 1, 5)
    for start, stop in ((0, 5), (1, 6), (1, None), (0, 2)):
        with pytest.raises(ValueError, match="follows"):
            check_spacing(pictures, start, stop)

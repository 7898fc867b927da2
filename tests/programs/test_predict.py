"""Videos of one's own: read as they are, cut as said, and predicted past their end."""

import json
import logging

import h5py
import numpy as np
import pytest
import torch
from PIL import Image
from raw_trees import write_film
from tiny import (
    CPU,
    NUM_FRAMES,
    NUM_SLOTS,
    SIDE,
    SLOT_DIM,
    assert_one_error,
    call,
    squares,
    write_predictor,
    write_savi,
)

from ocvp import predict
from ocvp.data.clips import Crop, crop_boxes, read_boxes, read_clip
from ocvp.data.films import Film
from ocvp.models.loading import load_predictor, load_savi
from ocvp.models.rollout import rollout

SIZE = (SIDE, SIDE)
VIDEO = squares(3)
BOXES = VIDEO["boxes"][0]


def write_pictures(folder, frames, name="test_{}.png"):
    folder.mkdir()
    for index, frame in enumerate(frames):
        Image.fromarray(frame).save(folder / name.format(index + 1))
    return folder


def wide(frames):
    """Return frames twice as large, with 8 columns of something else on either side."""
    large = frames.repeat(2, axis=1).repeat(2, axis=2)
    noise = np.random.default_rng(0).integers(0, 256, (*large.shape[:2], 8, 3), np.uint8)
    return np.concatenate([noise, large, noise], axis=2)


# --- reading -----------------------------------------------------------------------------------


def test_a_film_and_a_folder_hold_the_same_frames(tmp_path):
    frames = np.concatenate([squares(v)["frames"] for v in (3, 4)])  # 16: test_2 before test_10
    film = write_film(tmp_path / "film.mp4", frames)
    folder = write_pictures(tmp_path / "folder", frames)
    (folder / "notes.txt").write_text("no picture")
    for path in (film, folder):
        clip = read_clip(path, resolution=SIZE)
        np.testing.assert_array_equal(clip.frames, frames)
        assert clip.crop == Crop(0, 0, 1, 1)
        part = read_clip(path, resolution=SIZE, start=3, every=4, max_frames=2)
        np.testing.assert_array_equal(part.frames, frames[[3, 7]])


def test_the_middle_is_cut_out_and_boxes_follow_it(tmp_path):
    film = write_film(tmp_path / "film.mp4", wide(VIDEO["frames"]))
    clip = read_clip(film, resolution=SIZE)
    np.testing.assert_allclose(clip.crop, (0, 8 / 48, 1, 40 / 48))
    error = np.abs(clip.frames.astype(int) - VIDEO["frames"])
    assert error.mean() < 3  # the filter blurs the squares' edges
    assert np.median(error) == 0
    boxes = BOXES.copy()
    boxes[:, 1::2] = (boxes[:, 1::2] * 32 + 8) / 48
    np.testing.assert_allclose(crop_boxes(boxes, clip.crop), BOXES, atol=1e-6)
    stretched = read_clip(film, resolution=SIZE, fit="stretch")
    assert stretched.crop == Crop(0, 0, 1, 1)
    assert np.abs(stretched.frames.astype(int) - VIDEO["frames"]).mean() > 10


def test_boxes_outside_of_the_part_that_is_used_are_absent(caplog):
    crop = Crop(0.0, 0.25, 1.0, 0.75)
    boxes = np.array([[0, 0, 1, 0.25], [0.5, 0.5, 1, 1], [0, 0.3, 1, 0.4]], np.float32)
    found = crop_boxes(boxes, crop)
    np.testing.assert_allclose(
        found, [[-1, -1, -1, -1], [0.5, 0.5, 1, 1], [0, 0.1, 1, 0.3]], atol=1e-6
    )
    assert "box 0 lies outside" in caplog.text


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", json.dumps(BOXES.tolist())),
        ("b.json", json.dumps({"boxes": BOXES.tolist()})),
        ("c.csv", "\n".join(",".join(map(str, box)) for box in BOXES.tolist())),
        (
            "d.csv",
            "y_min, x_min, y_max, x_max\n"
            + "\n".join(", ".join(map(str, box)) for box in BOXES.tolist()),
        ),
    ],
)
def test_boxes_are_read_from_json_and_csv(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    np.testing.assert_allclose(read_boxes(tmp_path / name), BOXES)


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("a.json", "[[0.1, 0.1,", "cannot be read as boxes"),
        ("b.json", '{"rows": []}', "cannot be read as boxes"),
        ("c.json", "[]", r"holds numbers of shape \(0,\)"),
        ("d.csv", "0.1,0.1,0.2", r"holds numbers of shape \(1, 3\)"),
        ("e.csv", "top,left,bottom,right\n0,0,1,1", "cannot be read as boxes"),
        ("f.json", "[[0.1, 0.1, 40, 50]]", r"box 0 is \[0.1, 0.1, 40.0, 50.0\]"),
        ("g.json", "[[0, 0, 1, 1], [0.5, 0.1, 0.4, 0.2]]", "box 1 is"),
        ("h.csv", "nan,0,1,1", "box 0 is"),
        ("i.json", "[[0, 0, 1, 1], " * 100 + "\x85", "cannot be read as boxes.*byte 0x85"),
        ("j.csv", "1" * 1000 + "x,0,1,1", "cannot be read as boxes.*1111"),
    ],
)
def test_boxes_that_are_none_are_named(tmp_path, name, text, reason):
    path = tmp_path / name
    path.write_bytes(text.encode("latin-1"))
    expected = f"{name}.*{reason}.*expected are rows of y_min, x_min"
    with pytest.raises(ValueError, match=expected) as refusal:
        read_boxes(path)
    assert len(str(refusal.value)) < len(str(path)) + 400


def test_one_series_of_a_folder_is_a_clip(tmp_path):
    frames = VIDEO["frames"]
    folder = write_pictures(tmp_path / "folder", frames, "rgba_{:05d}.png")
    for index in range(len(frames)):
        Image.fromarray(255 - frames[index]).save(folder / f"depth_{index + 1:05d}.png")
    with pytest.raises(ValueError, match=r"folder holds several series of .*depth_\* .*rgba_\*"):
        read_clip(folder, resolution=SIZE)
    clip = read_clip(folder, resolution=SIZE, pattern="rgba_*")
    np.testing.assert_array_equal(clip.frames, frames)
    with pytest.raises(ValueError, match=r"fps is 10, but .*folder is a folder of pictures"):
        read_clip(folder, resolution=SIZE, pattern="rgba_*", fps=10)
    (folder / "rgba_00004.png").unlink()
    with pytest.raises(ValueError, match=r"rgba_00005\.png follows rgba_00003\.png"):
        read_clip(folder, resolution=SIZE, pattern="rgba_*")
    clip = read_clip(folder, resolution=SIZE, pattern="rgba_*", max_frames=3)
    np.testing.assert_array_equal(clip.frames, frames[:3])


def test_a_film_that_rests_is_told_once_or_sampled(tmp_path, caplog):
    pictures = [Image.fromarray(frame) for frame in VIDEO["frames"]]
    path, durations = tmp_path / "film.gif", [100, 300, *[100] * 6]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=durations)
    assert len(read_clip(path, resolution=SIZE).frames) == 8
    (warning,) = caplog.messages
    assert "film.gif: the time from frame to frame is 0.1 to 0.3 s" in warning
    assert "--fps" in warning
    clip, sampled = (read_clip(path, resolution=SIZE, fps=fps).frames for fps in (None, 10))
    np.testing.assert_array_equal(sampled, clip[[0, 1, 1, 1, *range(2, 8)]])
    assert len(caplog.messages) == 2  # of the first of these two
    assert len(read_clip(path, resolution=SIZE, start=2).frames) == 6
    assert len(caplog.messages) == 2


def test_what_is_no_video_is_named(tmp_path):
    film = write_film(tmp_path / "film.mp4", VIDEO["frames"])
    (tmp_path / "cut.mp4").write_bytes(film.read_bytes()[:-300])
    (tmp_path / "text.mp4").write_text("no film")
    (tmp_path / "empty").mkdir()
    bad = write_pictures(tmp_path / "bad", VIDEO["frames"])
    (bad / "test_3.png").write_bytes((bad / "test_3.png").read_bytes()[:60])
    mixed = write_pictures(tmp_path / "mixed", VIDEO["frames"][:3])
    Image.fromarray(VIDEO["frames"][0][:8]).save(mixed / "test_4.png")
    cases = {
        "missing.mp4": "missing.mp4 does not exist",
        "cut.mp4": "cut.mp4 cannot be read as a video",
        "text.mp4": "text.mp4 cannot be read as a video",
        "empty": "empty holds no pictures",
        "bad": "test_3.png cannot be read as a picture",
        "mixed": "test_4.png is 16x8, the pictures before it are 16x16",
    }
    for name, reason in cases.items():
        with pytest.raises(ValueError, match=reason):
            read_clip(tmp_path / name, resolution=SIZE)
    with pytest.raises(ValueError, match=r"film.mp4 has no frames from frame 8 on"):
        read_clip(film, resolution=SIZE, start=8)


# --- the program -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    savi = write_savi(folder / "savi.pt")
    write_predictor(folder / "predictor.pt", savi, "ocvp_seq")
    write_savi(folder / "free.pt", initializer="learned_random")
    write_film(folder / "film.mp4", VIDEO["frames"])
    (folder / "boxes.json").write_text(json.dumps(BOXES.tolist()))
    return folder


def run_predict(models, output, *further, savi="savi.pt", video="film.mp4"):
    files = ("--video", models / video, "--savi", models / savi, "--output", output)
    return call(predict.main, "--runtime", CPU, *files, *further)


def test_a_prediction_is_that_of_the_models(models, tmp_path):
    further = ("--predictor", models / "predictor.pt", "--boxes", models / "boxes.json")
    assert run_predict(models, tmp_path, *further, "--num-preds", 7) == 0
    savi, predictor = load_savi(models / "savi.pt"), load_predictor(models / "predictor.pt")
    frames = torch.from_numpy(VIDEO["frames"]).movedim(-1, 1)[None] / 255
    with torch.no_grad():
        expected = savi(frames, boxes=torch.from_numpy(BOXES)[None])
        future = rollout(predictor, expected.slots[:, :3], 7)
        decoded = savi.decode(future)
    with h5py.File(tmp_path / "prediction.h5") as file:
        np.testing.assert_array_equal(file["frames"][:], VIDEO["frames"])
        assert file["slots"].shape == (NUM_FRAMES, NUM_SLOTS, SLOT_DIM)
        near = {"rtol": 1e-4, "atol": 1e-5}
        np.testing.assert_allclose(file["slots"][:], expected.slots[0], **near)
        np.testing.assert_allclose(file["masks"][:], expected.masks[0, :, :, 0], **near)
        np.testing.assert_allclose(file["predicted_slots"][:], future[0], **near)
        np.testing.assert_allclose(file["predicted_masks"][:], decoded.masks[0, :, :, 0], **near)
        assert file["predicted_frames"].shape == (7, SIDE, SIDE, 3)
        assert (file.attrs["num_context"], file.attrs["num_preds"]) == (3, 7)
    # 8 frames were seen, and 10 are drawn: the prediction goes on past the video's end
    assert Image.open(tmp_path / "rollout.gif").n_frames == 10
    assert Film(tmp_path / "rollout.mp4").count() == 10
    for name in ("rollout.png", "slots.png"):
        assert Image.open(tmp_path / name).size[0] > 300


@pytest.mark.parametrize(("fps", "says"), [(30, ["33.3 frames a second, the nearest"]), (10, [])])
def test_a_rate_that_gif_lacks_is_said_and_the_film_has_it(models, tmp_path, caplog, fps, says):
    caplog.set_level(logging.INFO)
    further = ("--predictor", models / "predictor.pt", "--boxes", models / "boxes.json")
    assert run_predict(models, tmp_path, *further, "--config", {"gif_fps": fps}) == 0
    notes = [message for message in caplog.messages if "frames a second" in message]
    assert len(notes) == len(says)
    assert all(part in note for part, note in zip(says, notes, strict=True))
    film = Film(tmp_path / "rollout.mp4")
    film.count()
    assert film.pace.fps == fps


def test_without_a_predictor_there_are_slots_of_the_whole_video(models, tmp_path):
    assert run_predict(models, tmp_path, "--seed", 5, savi="free.pt") == 0
    assert {path.name for path in tmp_path.iterdir()} == {"prediction.h5", "slots.png"}
    with h5py.File(tmp_path / "prediction.h5") as file:
        first = file["slots"][:]
        assert len(first) == NUM_FRAMES
        assert "predicted_slots" not in file
    assert run_predict(models, tmp_path / "again", "--seed", 5, savi="free.pt") == 0
    assert run_predict(models, tmp_path / "other", "--seed", 6, savi="free.pt") == 0
    same, other = (
        h5py.File(tmp_path / name / "prediction.h5")["slots"][:] for name in ("again", "other")
    )
    np.testing.assert_array_equal(same, first)
    assert not np.allclose(other, first)


def test_what_is_missing_or_does_not_fit_is_named(models, tmp_path, capsys):
    predictor, boxes = ("--predictor", models / "predictor.pt"), ("--boxes", models / "boxes.json")
    many = tmp_path / "many.json"
    many.write_text(json.dumps([[0.1, 0.1, 0.2, 0.2]] * 4))
    cases = [
        ((), {}, ["--boxes is missing", "y_min,x_min,y_max,x_max", "--boxes boxes.csv"]),
        (("--boxes", many), {}, ["4 boxes, but this SAVi has 3 slots"]),
        ((*predictor, *boxes), {"savi": "free.pt"}, ["was trained on another SAVi"]),
        ((*predictor, *boxes, "--num-context", 4), {}, ["buffer_size is 3", "num_context, 4"]),
        ((*predictor, *boxes, "--num-context", 0), {}, ["--num-context is 0", "at least 1"]),
        (
            (*predictor, *boxes, "--start", 6),
            {},
            ["has 2 frames from frame 6 on", "the context alone needs 3"],
        ),
        (boxes, {"video": "missing.mp4"}, ["missing.mp4 does not exist"]),
        # what needs no film is said before one is read
        ((), {"video": "missing.mp4"}, ["--boxes is missing"]),
        (("--boxes", many), {"video": "missing.mp4"}, ["4 boxes, but this SAVi has 3 slots"]),
        (
            (*predictor, *boxes, "--num-context", 4),
            {"video": "missing.mp4"},
            ["buffer_size is 3", "num_context, 4"],
        ),
        ((*boxes, "--fps", 10), {"video": "."}, ["fps is 10, but", "is a folder of pictures"]),
    ]
    for further, changes, parts in cases:
        assert run_predict(models, tmp_path / "out", *further, **changes) == 1
        assert_one_error(capsys.readouterr().err, *parts)
        assert not list((tmp_path / "out").glob("*"))

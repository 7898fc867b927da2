"""The figure programs write what they promise, of the right videos, and name what does not fit."""

import json

import av
import numpy as np
import pytest
from PIL import Image
from tiny import (
    CPU,
    NUM_FRAMES,
    assert_one_error,
    call,
    write_predictor,
    write_random_slots,
    write_savi,
    write_videos,
)

from ocvp import curves, figures
from ocvp.evaluation.metrics import METRICS


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """A SAVi, a predictor, videos, slots and scores."""
    folder = tmp_path_factory.mktemp("chain")
    savi = write_savi(folder / "savi.pt")
    write_predictor(folder / "predictor.pt", savi)
    write_predictor(folder / "other.pt", savi, "ocvp_seq")
    write_videos(folder / "test.h5", num_videos=2)
    write_random_slots(folder / "slots.h5", savi, num_videos=2)
    entry = {"mean": 1.0, "per_frame": [1.0, None, 3.0], "copy_last_frame_per_frame": None}
    baselines = ("copy_last_slots", "constant_velocity", "ceiling")
    entry |= {f"{name}_per_frame": [2.0, 2.0, 2.0] for name in baselines}
    nothing = {"mean": None, "per_frame": None, "reason": "no weights"}
    undefined = {"mean": None, "per_frame": [None] * 3, "reason": "no contact"}
    metrics = dict.fromkeys(METRICS, entry) | {"lpips_vgg": nothing}
    metrics |= {"centre_error_after_contact": undefined}
    scores = {"protocol": {"num_context": 3, "num_preds": 4, "split": "test"}, "metrics": metrics}
    scores |= {"per_video": {"miou": [None, None], "psnr": [20.0, 21.5]}}
    for predictor in ("lstm", "ocvp_seq"):
        path = folder / predictor / "evaluation" / "short.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(scores))
    return folder


def draw_rollouts(chain, output, shown=("video0", "video1"), upscale=2, kind="png", **changes):
    """Draw videos as pictures, animations and films; return the status and the pictures."""
    files = {
        "savi": chain / "savi.pt",
        "predictors": chain / "predictor.pt",
        "scores": chain / "lstm" / "evaluation" / "short.json",
        "videos": chain / "test.h5",
        "slots": chain / "slots.h5",
    } | changes
    options = [word for name, path in files.items() for word in (f"--{name}", path)]
    settings = ("--config", {"upscale": upscale, "gif_fps": 4}, "--runtime", CPU)
    kinds = {"pictures": kind, "animations": "gif", "films": "mp4"}
    made = {name: [output / f"{video}.{end}" for video in shown] for name, end in kinds.items()}
    outputs = [word for name, paths in made.items() for word in (f"--{name}", *paths)]
    status = call(
        figures.main,
        *("rollouts", *settings, *options, "--show", *shown, *outputs, "--title", "cubes"),
    )
    return status, made["pictures"]


def test_rollouts_are_drawn_as_pictures_and_animations(chain, tmp_path):
    status, pictures = draw_rollouts(chain, tmp_path)
    assert status == 0
    drawn = [np.asarray(Image.open(path)) for path in pictures]
    assert drawn[0].shape[0] == drawn[1].shape[0]  # a title may be wider than the pictures
    assert not np.array_equal(drawn[0][60:, :300], drawn[1][60:, :300])
    for path in pictures:
        animation = Image.open(path.with_suffix(".gif"))
        assert animation.n_frames == 7
        assert animation.info["duration"] == 250
        with av.open(path.with_suffix(".mp4")) as film:
            assert sum(1 for _ in film.decode(video=0)) == 7
            assert film.streams.video[0].average_rate == 4
    status, (larger,) = draw_rollouts(chain, tmp_path / "large", ["video0"], upscale=4)
    assert status == 0
    assert Image.open(larger).size[0] > drawn[0].shape[1]


def test_videos_are_shown_by_their_scores(chain, tmp_path, monkeypatch):
    titles = []
    strip = figures.rollouts_strip
    monkeypatch.setattr(
        figures,
        "rollouts_strip",
        lambda shown, factor: (
            titles.append((shown.title, dict(shown.scores))) or strip(shown, factor)
        ),
    )
    status, (best, worst, first) = draw_rollouts(chain, tmp_path, ("best", "worst", "video0"))
    assert status == 0
    assert titles == [
        ("cubes: video 1, the best of 2 by PSNR (dB)", {"lstm": "PSNR (dB) 21.5"}),
        ("cubes: video 0, the worst of 2 by PSNR (dB)", {"lstm": "PSNR (dB) 20"}),
        ("cubes: video 0", {"lstm": "PSNR (dB) 20"}),
    ]
    same = [np.asarray(Image.open(path))[60:] for path in (worst, first)]  # below the title
    np.testing.assert_array_equal(*same)
    assert best.read_bytes() != worst.read_bytes()


@pytest.mark.parametrize("kind", ["pdf", "svg"])
def test_pictures_are_written_in_the_format_of_their_names(chain, tmp_path, kind):
    status, (picture,) = draw_rollouts(chain, tmp_path, ["video0"], kind=kind)
    assert status == 0
    assert {"pdf": b"%PDF", "svg": b"<?xml"}[kind] == picture.read_bytes()[:5][
        : 4 + (kind == "svg")
    ]
    status, (picture,) = draw_rollouts(chain, tmp_path, ["video0"], kind="jpg")
    assert (status, picture.exists()) == (1, False)


def test_several_predictors_are_compared_in_one_picture(chain, tmp_path):
    predictors = ("--predictors", chain / "predictor.pt", chain / "other.pt")
    scores = [chain / name / "evaluation" / "short.json" for name in ("lstm", "ocvp_seq")]
    given = ("--savi", chain / "savi.pt", "--videos", chain / "test.h5", "--slots")
    picture, tracks = tmp_path / "median.png", tmp_path / "median_tracks.png"
    options = (*given, chain / "slots.h5", *predictors, "--runtime", CPU, "--scores", *scores)
    outputs = ("--show", "median", "--pictures", picture, "--tracks", tracks)
    assert call(figures.main, "comparisons", *options, *outputs) == 0
    _, (alone,) = draw_rollouts(chain, tmp_path / "alone", ["median"], upscale=3)
    rows = [Image.open(path).size[1] for path in (picture, alone)]
    assert rows[0] - rows[1] == pytest.approx(3 * 16 * 3, abs=40)  # three rows more
    assert Image.open(tracks).size[0] > 300
    assert call(figures.main, "comparisons", *options[:-1], *outputs) == 1


def test_as_many_rollouts_are_drawn_as_there_are_videos(chain, tmp_path, caplog):
    shown = ("video0", "video1", "video2", "video3", "worst")
    status, _ = draw_rollouts(chain, tmp_path, shown)
    assert status == 0
    assert {path.stem for path in tmp_path.glob("*.gif")} == {"video0", "video1", "worst"}
    (warning,) = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert "test.h5 holds 2 videos: video2, video3 are not drawn" in warning


def test_slots_of_the_first_video_are_drawn(chain, tmp_path):
    output = tmp_path / "slots.png"
    arguments = ("--savi", chain / "savi.pt", "--videos", chain / "test.h5", "--output", output)
    assert call(figures.main, "slots", "--runtime", CPU, *arguments) == 0
    picture = Image.open(output)
    assert picture.mode == "RGB"
    assert picture.size[0] > NUM_FRAMES * 16 * 3


def test_curves_leave_out_what_was_not_computed(chain, tmp_path, monkeypatch):
    drawn = {}
    draw = curves.metric_curves
    monkeypatch.setattr(
        curves,
        "metric_curves",
        lambda panels, *rest: drawn.update(panels) or draw(panels, *rest),
    )
    output = tmp_path / "curves.png"
    paths = [chain / name / "evaluation" / "short.json" for name in ("lstm", "ocvp_seq")]
    assert call(curves.main, "metrics", "--scores", *paths, "--output", output) == 0
    assert Image.open(output).size[0] > 300
    left_out = {METRICS[name].label for name in ("lpips_vgg", "centre_error_after_contact")}
    assert set(drawn) == {metric.label for metric in METRICS.values()} - left_out
    baselines = {"copy_last_slots", "constant_velocity", "ceiling"}
    assert set(drawn["mIoU ↑"]) == {"lstm", "ocvp_seq", *baselines}


def test_what_does_not_belong_together_is_named(chain, tmp_path, capsys):
    other = write_savi(tmp_path / "other.pt", seed=1)
    slots = write_random_slots(tmp_path / "slots.h5", other, num_videos=2)
    own = tmp_path / "evaluation.json"
    own.write_text('{"split": "test", "metrics": {}}')
    cut = tmp_path / "cut.json"
    cut.write_text('{"protocol": ')
    cases = [
        ({"savi": other}, "was trained on another SAVi"),
        ({"slots": slots}, "was made by another SAVi"),
        ({"scores": own}, "holds no scores of a predictor"),
        ({"scores": cut}, "cannot be read as JSON"),
        ({"videos": tmp_path / "missing.h5"}, "there is no such video file"),
        ({"shown": ["first"]}, "there is no video 'first'"),
    ]
    for changes, reason in cases:
        status, pictures = draw_rollouts(chain, tmp_path / "figures", **changes)
        assert status == 1
        assert_one_error(capsys.readouterr().err, reason)
        assert not any(path.exists() for path in pictures)

"""The figure programs write what they promise, of the right videos, and name what does not fit."""

import json

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

from ocvp import figures
from ocvp.evaluation.metrics import METRICS


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """A SAVi, a predictor, videos, slots and scores."""
    folder = tmp_path_factory.mktemp("chain")
    savi = write_savi(folder / "savi.pt")
    write_predictor(folder / "predictor.pt", savi)
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
    for predictor in ("lstm", "ocvp_seq"):
        path = folder / predictor / "evaluation" / "short.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(scores))
    return folder


def draw_rollouts(chain, output, num_videos=2, upscale=2, **changes):
    files = {
        "savi": chain / "savi.pt",
        "predictor": chain / "predictor.pt",
        "scores": chain / "lstm" / "evaluation" / "short.json",
        "videos": chain / "test.h5",
        "slots": chain / "slots.h5",
    } | changes
    options = [word for name, path in files.items() for word in (f"--{name}", path)]
    pictures = [output / f"{video}.png" for video in range(num_videos)]
    animations = [output / f"{video}.gif" for video in range(num_videos)]
    settings = ("--config", {"upscale": upscale, "gif_fps": 4}, "--runtime", CPU)
    status = call(
        figures.main,
        *("rollouts", *settings, *options, "--pictures", *pictures, "--animations", *animations),
    )
    return status, pictures, animations


def test_rollouts_are_drawn_as_pictures_and_animations(chain, tmp_path):
    status, pictures, animations = draw_rollouts(chain, tmp_path)
    assert status == 0
    drawn = [np.asarray(Image.open(path)) for path in pictures]
    assert drawn[0].shape == drawn[1].shape
    assert not np.array_equal(drawn[0], drawn[1])
    for path in animations:
        animation = Image.open(path)
        assert animation.n_frames == 7
        assert animation.info["duration"] == 250
    status, larger, _ = draw_rollouts(chain, tmp_path / "large", num_videos=1, upscale=4)
    assert status == 0
    assert Image.open(larger[0]).size[0] > drawn[0].shape[1]


def test_as_many_rollouts_are_drawn_as_there_are_videos(chain, tmp_path, caplog):
    status, _, animations = draw_rollouts(chain, tmp_path, num_videos=4)
    assert status == 0
    assert [path.name for path in sorted(tmp_path.glob("*.png"))] == ["0.png", "1.png"]
    assert [path.is_file() for path in animations] == [True, True, False, False]
    (warning,) = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert "test.h5 holds 2 videos: the last 2 of --pictures are not drawn" in warning


def test_slots_of_the_first_video_are_drawn(chain, tmp_path):
    output = tmp_path / "slots.png"
    arguments = ("--savi", chain / "savi.pt", "--videos", chain / "test.h5", "--output", output)
    assert call(figures.main, "slots", "--runtime", CPU, *arguments) == 0
    picture = Image.open(output)
    assert picture.mode == "RGB"
    assert picture.size[0] > NUM_FRAMES * 16 * 3


def test_curves_leave_out_what_was_not_computed(chain, tmp_path, monkeypatch):
    drawn = {}
    draw = figures.metric_curves
    monkeypatch.setattr(
        figures,
        "metric_curves",
        lambda panels, *rest: drawn.update(panels) or draw(panels, *rest),
    )
    output = tmp_path / "curves.png"
    paths = [chain / name / "evaluation" / "short.json" for name in ("lstm", "ocvp_seq")]
    assert call(figures.main, "curves", "--scores", *paths, "--output", output) == 0
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
    ]
    for changes, reason in cases:
        status, pictures, _ = draw_rollouts(chain, tmp_path / "figures", **changes)
        assert status == 1
        assert_one_error(capsys.readouterr().err, reason, next(iter(changes.values())))
        assert not any(path.exists() for path in pictures)

"""Scores over batches of videos: means over what is defined, and reasons for what is not."""

import numpy as np
import pytest
import torch
from tiny import SIDE, squares

from ocvp.evaluation.metrics import MASK_METRICS
from ocvp.evaluation.scoring import (
    FrameScorer,
    concatenate,
    masks_of,
    mean,
    per_frame,
    per_video,
    report,
    score_labels,
    score_output,
)
from ocvp.models.savi import SaviOutput

CPU = torch.device("cpu")
NAN = float("nan")


@pytest.fixture(autouse=True)
def no_weights(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))


def test_means_are_over_what_is_defined():
    values = np.array([[1.0, NAN, 3.0], [5.0, NAN, NAN]])
    assert mean(values) == 3.0
    assert per_frame(values) == [3.0, None, 3.0]
    np.testing.assert_array_equal(per_video(values), [2.0, 5.0])
    np.testing.assert_array_equal(per_video(np.full((2, 3), NAN)), [NAN, NAN])
    assert mean(np.full((2, 3), NAN)) is None
    of_clips = np.array([0.25, 0.75])
    assert per_frame(of_clips) is None
    np.testing.assert_array_equal(per_video(of_clips), of_clips)


def test_batches_are_joined_in_order():
    joined = concatenate([{"savi": {"psnr": np.full((n, 3), n)}} for n in (2, 1)])
    np.testing.assert_array_equal(joined["savi"]["psnr"][:, 0], [2, 2, 1])


def test_what_has_no_value_has_a_reason():
    scores = {"psnr": np.array([[20.0, 30.0]])}
    found = report("psnr", scores, {})
    assert found.pop("mean_over") == "frames"
    assert found == {"mean": 25.0, "num_videos": 1, "per_frame": [20.0, 30.0]}
    nothing = {"mean": None, "per_frame": None}
    assert report("lpips_vgg", scores, {"lpips_vgg": "no file"}) == nothing | {"reason": "no file"}
    assert report("miou", scores, {}) == nothing | {"reason": "the videos have no masks"}


def test_a_report_says_what_its_mean_is_over_and_of_how_many_videos():
    scores = {
        "miou": np.array([[0.5, NAN, NAN], [NAN, NAN, NAN], [0.2, 0.2, 0.2]]),
        "fg_ari_clip": np.array([0.25, NAN, 0.75]),
        "mbo": np.full((3, 2), NAN),
    }
    of_frames, of_clips = (report(name, scores, {}) for name in ("miou", "fg_ari_clip"))
    assert of_frames["mean"] == pytest.approx(1.1 / 4)  # of videos it would be 0.35
    assert (of_frames["mean_over"], of_frames["num_videos"]) == ("frames", 2)
    assert (of_clips["mean"], of_clips["mean_over"], of_clips["num_videos"]) == (0.5, "videos", 2)
    nothing = report("mbo", scores, {})
    assert (nothing["mean"], nothing["num_videos"]) == (None, 0)
    assert "no such object is there" in nothing["reason"]


def test_videos_without_any_object_are_left_out_of_all_segmentation_scores():
    labels = np.stack([squares(0)["masks"], np.zeros_like(squares(0)["masks"])])
    scores = score_labels(labels, labels)
    assert set(scores) == set(MASK_METRICS)
    for name, values in scores.items():
        assert np.isnan(values[1]).all(), name
        assert not np.isnan(values[0]).any(), name


def test_a_scorer_says_what_this_machine_cannot_compute():
    scorer = FrameScorer((SIDE, SIDE), CPU)
    assert set(scorer.reasons) == {"lpips_alex", "lpips_vgg"}
    assert "are missing" in scorer.reasons["lpips_alex"]
    small = FrameScorer((8, SIDE), CPU)
    assert "SSIM needs frames of 11 pixels" in small.reasons["ssim"]
    frames = torch.rand(1, 2, 3, 8, SIDE)
    assert set(small.score(frames, frames)) == {"psnr"}


def test_frames_are_cut_to_the_range_before_they_are_scored():
    truth = torch.zeros(2, 3, 3, SIDE, SIDE)
    scores = FrameScorer((SIDE, SIDE), CPU).score(truth - 5.0, truth)
    assert set(scores) == {"psnr", "ssim"}
    assert scores["psnr"].shape == (2, 3)
    assert (scores["psnr"] == 80).all()
    np.testing.assert_allclose(scores["ssim"], 1.0)
    # an error of 0.1 everywhere is 20 dB
    found = FrameScorer((SIDE, SIDE), CPU).score(truth + 0.1, truth)["psnr"]
    np.testing.assert_allclose(found, 20.0, atol=1e-4)


def test_the_right_segmentation_scores_one_whatever_its_numbers():
    labels = np.stack([squares(0)["masks"], squares(1)["masks"]])
    renamed = np.array([2, 0, 1], np.uint8)[labels]
    for name, values in score_labels(labels, renamed).items():
        np.testing.assert_allclose(values, 0.0 if name == "id_switches" else 1.0)


def test_masks_are_scored_by_their_largest_slot():
    labels = squares(0)["masks"][None]  # (1, T, H, W)
    masks = torch.from_numpy(np.eye(3, dtype=np.float32)[labels]).movedim(-1, 2)[:, :, :, None]
    frames = torch.rand(*labels.shape[:2], 3, SIDE, SIDE)
    output = SaviOutput(torch.zeros(0), frames, torch.zeros(0), masks * 0.6 + 0.1)
    scorer = FrameScorer((SIDE, SIDE), CPU)
    assert set(score_output(output, frames, scorer, None)) == {"psnr", "ssim"}
    scores = score_output(output, frames, scorer, labels)
    for name in ("fg_ari_clip", "fg_ari_frame", "ari", "miou", "mbo", "tracks_kept"):
        np.testing.assert_allclose(scores[name], 1.0)
    assert masks_of(output).shape == (1, *labels.shape[1:2], 3, SIDE, SIDE)

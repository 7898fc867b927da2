"""Evaluation against values computed by hand, and the tables that are made of it."""

import json
import math

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from tiny import (
    CPU,
    NUM_FRAMES,
    SIDE,
    SQUARE,
    assert_one_error,
    call,
    squares,
    write_predictor,
    write_savi,
    write_videos,
)
from torch import nn

from ocvp import evaluate_predictor, evaluate_savi, extract_slots, summarize
from ocvp.batches.windows import Window
from ocvp.evaluation.baselines import extrapolate
from ocvp.evaluation.comparisons import NO_GAP, compare
from ocvp.evaluation.intervals import TOO_FEW
from ocvp.evaluation.metrics import BASELINES, MASK_METRICS, METRICS, PIXEL_METRICS
from ocvp.evaluation.predictor_scores import score_batch, summarize_scores
from ocvp.evaluation.scoring import FrameScorer, concatenate
from ocvp.evaluation.tables import COMPARISON_COLUMNS, SUMMARY_COLUMNS
from ocvp.models.loading import load_predictor
from ocvp.models.rollout import rollout
from ocvp.models.savi import SaviOutput

CONTEXT, PREDS = 3, 4
OBJECTS = 2


@pytest.fixture(autouse=True)
def no_weights(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))


# --- a toy whose slots are (row, column, red, green, blue) --------------------------------------


class ToySavi(nn.Module):
    """Draws slot 0 everywhere and the others as squares: true slots give the true video."""

    def __init__(self):
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))

    def decode(self, slots):
        rows = torch.arange(SIDE)[:, None]
        columns = torch.arange(SIDE)[None, :]
        top, left = slots[..., 0, None, None], slots[..., 1, None, None]
        inside = (rows >= top) & (rows < top + SQUARE) & (columns >= left)
        masks = (inside & (columns < left + SQUARE)).float()
        masks[..., 0, :, :] = 0.5  # the background loses against any square
        masks = (masks / masks.sum(dim=-3, keepdim=True)).round()[..., None, :, :]
        objects = slots[..., 2:, None, None].expand(*slots.shape[:-1], 3, SIDE, SIDE)
        return SaviOutput(slots, (masks * objects).sum(dim=-4), objects, masks)


class Mover(nn.Module):
    """Moves both squares by `pixels` a frame; 1 is what they do."""

    def __init__(self, pixels):
        super().__init__()
        self.pixels = pixels

    def forward(self, slots):
        moved = slots.clone()
        moved[..., 1:, 1] += self.pixels
        return moved


def true_slots(video):
    arrays = squares(video)
    slots = np.zeros((NUM_FRAMES, 1 + OBJECTS, 5), np.float32)
    slots[:, 0, 2:] = arrays["frames"][0, -1, -1] / np.float32(255)
    for k in range(OBJECTS):
        slots[:, k + 1, :2] = arrays["boxes"][:, k, :2] * SIDE
        for t in range(NUM_FRAMES):
            row, column = slots[t, k + 1, :2].astype(int)
            slots[t, k + 1, 2:] = arrays["frames"][t, row, column] / np.float32(255)
    return slots


def toy_batch(videos=(0, 1)):
    length = CONTEXT + PREDS
    batch = {
        field: torch.from_numpy(np.stack([squares(v)[field][:length] for v in videos]))
        for field in ("frames", "masks")
    }
    batch["slots"] = torch.from_numpy(np.stack([true_slots(v)[:length] for v in videos]))
    return batch


def toy_scores(predictor, videos=(0, 1), num_context=CONTEXT, **fields):
    scorer = FrameScorer((SIDE, SIDE), torch.device("cpu"))
    windows = [Window(video, 0) for video in videos]
    batch = toy_batch(videos) | {name: torch.tensor(values) for name, values in fields.items()}
    return score_batch(ToySavi(), predictor, windows, batch, num_context, scorer)


def test_the_ceiling_is_what_the_true_slots_decode_to():
    scores = toy_scores(Mover(0.0))[0]["ceiling"]
    assert (scores["slot_mse"] == 0).all()  # exactly: they are the same numbers
    assert (scores["psnr"] == 80).all()
    for name in (*MASK_METRICS, "ssim"):
        np.testing.assert_allclose(scores[name], 0.0 if name == "id_switches" else 1.0)
    np.testing.assert_allclose(scores["centre_error"], 0.0, atol=1e-9)


def miou_behind(pixels):
    """Return the mean IoU of two squares with segments that far behind."""
    overlap = max(SQUARE - pixels, 0) * SQUARE
    if overlap == 0:
        # matching gives one of them the background's segment, which then covers it
        return SQUARE**2 / (SIDE**2 - OBJECTS * SQUARE**2) / OBJECTS
    return overlap / (2 * SQUARE**2 - overlap)


def test_copy_last_slots_stays_behind_by_one_pixel_a_frame():
    variants, of_videos = toy_scores(Mover(1.0))
    scores = variants["copy_last_slots"]
    behind = np.arange(1, PREDS + 1)
    np.testing.assert_allclose(scores["centre_error"], np.tile(behind, (2, 1)))
    # of 3 slots of 5 numbers, two columns are wrong by that many pixels
    np.testing.assert_allclose(scores["slot_mse"][0], 2 * behind**2 / 15, rtol=1e-6)
    np.testing.assert_allclose(scores["miou"][1], [miou_behind(t) for t in behind])
    np.testing.assert_allclose(of_videos["motion"], PREDS)
    # a segment that is 1 pixel behind is 3 of 5 columns right, then 2 of 6
    np.testing.assert_allclose(scores["tracks_kept"], 0.0)
    np.testing.assert_allclose(scores["id_switches"], 0.0)


def test_constant_velocity_is_right_where_nothing_turns():
    scores = toy_scores(Mover(0.0))[0]
    for name, values in scores["constant_velocity"].items():
        np.testing.assert_allclose(values, scores["ceiling"][name], atol=1e-6, err_msg=name)
    assert set(scores["object_constant_velocity"]) == {"centre_error"}
    np.testing.assert_allclose(scores["object_constant_velocity"]["centre_error"], 0, atol=1e-9)


def test_slots_at_constant_velocity_by_hand():
    context = torch.tensor([[9.0, 9.0], [1.0, 5.0], [2.0, 3.0]]).view(1, 3, 1, 2)
    expected = [[3.0, 1.0], [4.0, -1.0], [5.0, -3.0]]
    assert extrapolate(context, 3).view(3, 2).tolist() == expected
    assert extrapolate(context[:, 1:], 3).view(3, 2).tolist() == expected


def test_one_context_frame_has_no_velocity():
    scores, of_videos = toy_scores(Mover(1.0), num_context=1)
    assert scores["constant_velocity"] == scores["object_constant_velocity"] == {}
    metrics = summarize_scores(scores, of_videos, {})
    assert metrics["psnr"]["constant_velocity"] is None
    assert metrics["psnr"]["constant_velocity_per_frame"] is None
    assert metrics["centre_error"]["object_constant_velocity"] is None
    assert metrics["centre_error"]["copy_last_slots"] == pytest.approx(3.5)
    result = compare(concatenate([scores] * 6), np.full(12, True))["slot_mse"]
    assert "constant_velocity" not in result
    assert result["gain_over_constant_velocity"] is None
    assert result["reason"] == "a context of one frame has no velocity"
    assert result["gap_closed"] == pytest.approx(1.0)


def test_centre_errors_are_told_apart_by_contacts():
    contacts = np.zeros((2, CONTEXT + PREDS, 3), np.uint8)  # a third object is in no video
    contacts[0, CONTEXT - 1, 0] = 1  # still in the context
    contacts[0, CONTEXT + 1, 1] = 2
    scores, of_videos = toy_scores(Mover(0.0), object_contacts=contacts)
    after = scores["prediction"]["centre_error_after_contact"]
    np.testing.assert_allclose(after, [[np.nan, 2, 3, 4], [np.nan] * 4])
    without = scores["prediction"]["centre_error_without_contact"]
    np.testing.assert_allclose(without, [[1, 2, 3, 4]] * 2)
    own = scores["object_constant_velocity"]["centre_error_after_contact"]
    np.testing.assert_allclose(own, [[np.nan, 0, 0, 0], [np.nan] * 4], atol=1e-9)
    metrics = summarize_scores(scores, of_videos, {})
    entry = metrics["centre_error_after_contact"]
    assert (entry["mean"], entry["num_videos"], entry["num_objects"]) == (pytest.approx(3), 1, 1)
    assert metrics["centre_error_without_contact"]["num_objects"] == 4
    assert metrics["centre_error"]["num_objects"] == 4


def test_the_centre_error_says_which_objects_it_counts():
    masks = toy_batch()["masks"].numpy()
    masks[0, CONTEXT - 1][masks[0, CONTEXT - 1] == 2] = 0  # hidden in the last context frame
    masks[1] = 0
    scores, of_videos = toy_scores(Mover(1.0), masks=masks)
    entry = summarize_scores(scores, of_videos, {})["centre_error"]
    assert (entry["num_objects"], entry["num_objects_left_out"], entry["num_videos"]) == (1, 1, 1)
    assert of_videos["without_objects"].tolist() == [False, True]


def test_copy_last_frame_is_the_true_frame_held():
    scores = toy_scores(Mover(1.0))[0]["copy_last_frame"]
    assert set(scores) == {"psnr", "ssim"}  # a frame has no slots and no masks
    for index, video in enumerate((0, 1)):
        frames = squares(video)["frames"].astype(np.float64) / 255
        for t in range(PREDS):
            error = np.square(frames[CONTEXT - 1] - frames[CONTEXT + t]).mean()
            assert scores["psnr"][index, t] == pytest.approx(-10 * math.log10(error), rel=1e-5)


@pytest.mark.parametrize(("pixels", "error_of_last"), [(1.0, 0.0), (0.0, 4.0), (0.5, 2.0)])
def test_a_prediction_is_between_copy_and_ceiling(pixels, error_of_last):
    scores = toy_scores(Mover(pixels))[0]
    # half pixels: the toy draws them one pixel further, which is within the tolerance
    assert scores["prediction"]["centre_error"][0, -1] == pytest.approx(error_of_last, abs=0.5)
    if pixels in (0.0, 1.0):
        same = scores["ceiling" if pixels else "copy_last_slots"]
        for name, values in scores["prediction"].items():
            np.testing.assert_array_equal(values, same[name])


def test_a_prediction_that_is_not_finite_is_an_error_not_a_gap_in_a_mean():
    with pytest.raises(ValueError, match="the predicted slots of video 0 are not finite"):
        toy_scores(Mover(float("nan")))


def test_videos_without_masks_have_pixel_scores_only():
    batch = toy_batch()
    del batch["masks"]
    scorer = FrameScorer((SIDE, SIDE), torch.device("cpu"))
    windows = [Window(0, 0), Window(1, 0)]
    scores, of_videos = score_batch(ToySavi(), Mover(1.0), windows, batch, CONTEXT, scorer)
    assert set(scores["prediction"]) == {"psnr", "ssim", "slot_mse"}
    assert of_videos == {}
    metrics = summarize_scores(scores, of_videos, scorer.reasons)
    assert metrics["miou"]["mean"] is None
    assert metrics["miou"]["reason"] == "the videos have no masks"
    assert metrics["slot_mse"]["ceiling"] == 0
    assert metrics["centre_error_after_contact"]["reason"] == "the videos have no masks"


def test_the_summary_holds_every_metric_with_its_baselines():
    scores = concatenate([toy_scores(Mover(1.0), videos)[0] for videos in ((0, 1), (2,))])
    assert set(scores) == {"prediction", *BASELINES}
    metrics = summarize_scores(scores, {}, {"lpips_alex": "no file", "lpips_vgg": "no file"})
    assert set(metrics) == set(METRICS)
    assert metrics["centre_error"]["mean"] == pytest.approx(0, abs=1e-9)
    assert metrics["centre_error"]["copy_last_slots"] == pytest.approx(2.5)
    assert metrics["centre_error"]["copy_last_slots_per_frame"] == pytest.approx([1, 2, 3, 4])
    assert metrics["centre_error"]["copy_last_frame"] is None
    assert len(metrics["psnr"]["copy_last_frame_per_frame"]) == PREDS
    assert metrics["fg_ari_clip"]["per_frame"] is None
    assert metrics["lpips_alex"]["reason"] == "no file"


# --- comparisons -------------------------------------------------------------------------------


def made_scores(prediction, copy, ceiling, velocity=None):
    """Return scores of the variants, the same for each compared metric, one frame a video."""
    values = {"prediction": prediction, "copy_last_slots": copy, "ceiling": ceiling}
    values["constant_velocity"] = copy if velocity is None else velocity
    return {
        variant: {
            name: np.array(numbers, dtype=float)[:, None]
            for name in ("centre_error", "slot_mse", "miou")
        }
        for variant, numbers in values.items()
    }


def t_interval(values):
    low, high = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    return pytest.approx({"mean": np.mean(values), "low": low, "high": high})


def test_comparisons_by_hand():
    # four videos three times, of which the third does not move
    scores = made_scores([2, 3, 9, 4] * 4, [6, 5, 9, 8] * 4, [0, 1, 0, 2] * 4, [3, 2, 9, 6] * 4)
    moving = np.array([True, True, False, True] * 4)
    result = compare(scores, moving)
    assert (result["subset"], result["num_videos"]) == ("moving", 12)
    assert result["mean_over"] == "videos"
    lower, higher = result["centre_error"], result["miou"]
    assert lower["num_videos"] == 12
    means = {"prediction": 3.0, "copy_last_slots": 19 / 3, "constant_velocity": 11 / 3}
    for variant, expected in (means | {"ceiling": 1.0}).items():
        assert lower[variant] == higher[variant] == pytest.approx(expected)
    # gains 4, 2, 4 of gaps 6, 4, 6 where a lower error is better
    assert lower["gain"] == t_interval([4, 2, 4] * 4)
    assert lower["gap"] == t_interval([6, 4, 6] * 4)
    assert lower["gain_over_constant_velocity"] == t_interval([1, -1, 2] * 4)
    assert lower["gap_closed"] == pytest.approx(10 / 16)
    assert lower["beyond_half_gap"] == t_interval([1, 0, 1] * 4)
    assert "reason" not in lower
    assert higher["gain"] == t_interval([-4, -2, -4] * 4)


def test_there_is_no_share_of_a_gap_that_is_not_there():
    # as mIoU the ceiling is worse than the copy, and the prediction still worse
    scores = made_scores([2, 3, 4] * 4, [6, 5, 8] * 4, [5, 4.5, 7] * 4)
    entry = compare(scores, np.full(12, True))["miou"]
    assert entry["gap"]["high"] < 0
    assert entry["gain"]["high"] < 0
    assert (entry["gap_closed"], entry["beyond_half_gap"]) == (None, None)
    assert entry["reason"] == NO_GAP
    # a gap of 1 on average that may as well be none
    unsure = made_scores([0.0] * 12, [5.0] * 12, [4.0 + 3 * (-1) ** k for k in range(12)])
    entry = compare(unsure, np.full(12, True))["slot_mse"]
    assert entry["gap"]["low"] < 0 < entry["gap"]["mean"]
    assert (entry["gap_closed"], entry["reason"]) == (None, NO_GAP)
    assert entry["gain"]["mean"] == 5.0


def test_few_videos_give_means_without_intervals_or_shares():
    entry = compare(made_scores([2] * 9, [6] * 9, [0] * 9), np.full(9, True))["centre_error"]
    assert (entry["prediction"], entry["num_videos"]) == (2.0, 9)
    assert entry["gain"] == {"mean": 4.0, "low": None, "high": None, "reason": TOO_FEW}
    assert (entry["gap_closed"], entry["beyond_half_gap"], entry["reason"]) == (None, None, TOO_FEW)


def test_videos_in_which_a_metric_is_undefined_are_left_out():
    nan = float("nan")
    scores = made_scores([2, nan, 4] * 5, [6, 5, 8] * 5, [0, 1, 2] * 5)
    result = compare(scores, np.full(15, True))
    assert (result["num_videos"], result["centre_error"]["num_videos"]) == (15, 10)
    result = result["centre_error"]
    assert (result["prediction"], result["copy_last_slots"]) == (3.0, 7.0)
    assert result["gain"] == {"mean": 4.0, "low": 4.0, "high": 4.0}
    still = compare(scores, np.full(15, False))
    assert still["num_videos"] == 0
    assert still["miou"] == {"reason": "no video in which objects move"}


def test_what_met_another_object_is_compared_where_something_did():
    """In ten of fifteen videos an object met another one; in none is anything left without."""
    nan = float("nan")
    scores = made_scores([2, nan, 4] * 5, [6, nan, 8] * 5, [0, nan, 2] * 5, [3, nan, 5] * 5)
    for variant in scores.values():
        variant["centre_error_after_contact"] = variant.pop("centre_error")
        missing = np.full_like(variant["miou"], nan)
        variant |= {"centre_error": variant["miou"], "centre_error_without_contact": missing}
    result = compare(scores, np.full(15, True))
    entry = result["centre_error_after_contact"]
    assert entry["num_videos"] == 10
    assert entry["gain_over_constant_velocity"] == {"mean": 1.0, "low": 1.0, "high": 1.0}
    undefined = "in no video in which objects move it is defined"
    assert result["centre_error_without_contact"] == {"reason": undefined}
    unknown = compare(made_scores([2], [6], [0]), np.full(1, True))
    assert "centre_error_after_contact" not in unknown


# --- the programs ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """A SAVi, its slots and a predictor, laid out as the workflow does."""
    folder = tmp_path_factory.mktemp("chain")
    write_videos(folder / "squares" / "videos" / "test.h5", num_videos=4)
    seed = folder / "squares" / "small" / "seed1"
    (seed / "lstm").mkdir(parents=True)
    savi = write_savi(seed / "savi.pt")
    write_predictor(seed / "lstm" / "predictor.pt", savi)
    videos = folder / "squares" / "videos" / "test.h5"
    arguments = ("--savi", savi, "--videos", videos, "--output", seed / "slots" / "test.h5")
    assert call(extract_slots.main, "--runtime", CPU, *arguments) == 0
    return seed


def score_predictor(chain, output, protocol=None, predictor=None, videos=None, **runtime):
    protocol = {"num_context": CONTEXT, "num_preds": PREDS} | (protocol or {})
    predictor = predictor or chain / "lstm" / "predictor.pt"
    return call(
        evaluate_predictor.main,
        *("--config", {"protocol": protocol, "num_threads": 1}, "--runtime", CPU | runtime),
        *("--savi", chain / "savi.pt", "--predictor", predictor),
        *("--videos", videos or chain.parents[1] / "videos" / "test.h5"),
        *("--slots", chain / "slots" / "test.h5", "--output", output),
    )


def score_savi(chain, output, videos=None, savi=None, seed=0, **evaluation):
    return call(
        evaluate_savi.main,
        *("--config", {"evaluation": evaluation, "num_threads": 1}, "--runtime", CPU),
        *("--savi", savi or chain / "savi.pt", "--seed", seed, "--output", output),
        *("--videos", videos or chain.parents[1] / "videos" / "test.h5"),
    )


def test_a_predictor_is_scored_the_same_in_batches_of_any_size(chain, tmp_path):
    results = []
    for batch_videos in (1, 3):
        output = tmp_path / f"{batch_videos}.json"
        assert score_predictor(chain, output, batch_videos=batch_videos) == 0
        results.append(json.loads(output.read_text()))
    one, three = results
    assert (one["num_videos"], one["protocol"]["split"]) == (4, "test")
    assert set(one["digests"]) == {"savi", "predictor", "videos"}
    for name, entry in one["metrics"].items():
        for key, value in entry.items():
            other = three["metrics"][name][key]
            if isinstance(value, float | list):
                np.testing.assert_allclose(value, other, rtol=1e-3, atol=1e-6)
            else:
                assert value == other
    assert one["metrics"]["slot_mse"]["ceiling"] == 0.0
    assert one["metrics"]["slot_mse"]["ceiling_per_frame"] == [0.0] * PREDS
    assert len(one["per_video"]["psnr"]) == 4
    assert np.mean(one["per_video"]["psnr"]) == pytest.approx(one["metrics"]["psnr"]["mean"])
    assert one["comparisons"]["num_videos"] == 4
    assert 0 <= one["metrics"]["centre_error"]["mean"] <= math.hypot(SIDE, SIDE)
    assert (tmp_path / "1.config.json").is_file()
    assert "ocvp.evaluate_predictor" in (tmp_path / "1.command.sh").read_text()


def test_a_file_of_scores_says_what_was_counted(chain, tmp_path):
    folder = tmp_path / "squares"
    videos = write_videos(
        folder / "test.h5", num_videos=4, fields=("frames", "masks", "boxes", "object_contacts")
    )
    assert score_predictor(chain, tmp_path / "short.json", videos=videos) == 0
    scores = json.loads((tmp_path / "short.json").read_text())
    assert scores["num_without_objects"] == 0
    assert scores["comparisons"]["mean_over"] == "videos"
    assert scores["comparisons"]["miou"]["reason"] == TOO_FEW
    metrics = scores["metrics"]
    assert (metrics["miou"]["mean_over"], metrics["fg_ari_clip"]["mean_over"]) == (
        "frames",
        "videos",
    )
    # the object above is touched before the second of four predicted frames, the other never
    above, below = (metrics[f"centre_error_{kind}_contact"] for kind in ("after", "without"))
    assert [value is None for value in above["per_frame"]] == [True, False, False, False]
    assert (above["num_objects"], below["num_objects"]) == (4, 8)
    assert metrics["centre_error"]["num_objects"] == 8
    assert metrics["centre_error"]["num_objects_left_out"] == 0
    assert metrics["centre_error"]["object_constant_velocity"] == pytest.approx(0, abs=1e-9)
    assert "seed" not in scores
    # without contacts the file says so
    assert score_predictor(chain, tmp_path / "plain.json") == 0
    plain = json.loads((tmp_path / "plain.json").read_text())["metrics"]
    for kind in ("after", "without"):
        entry = plain[f"centre_error_{kind}_contact"]
        assert (entry["mean"], entry["reason"]) == (None, "the videos have no object_contacts")
    assert plain["psnr"] == metrics["psnr"]


def test_a_context_beyond_the_buffer_is_refused_or_cut_as_the_protocol_says(
    chain, tmp_path, capsys
):
    predictor = write_predictor(
        tmp_path / "predictor.pt", chain / "savi.pt", "ocvp_seq", buffer_size=CONTEXT - 1
    )
    assert score_predictor(chain, tmp_path / "x.json", predictor=predictor) == 1
    assert_one_error(capsys.readouterr().err, "buffer_size is 2, smaller than num_context, 3")
    assert not (tmp_path / "x.json").exists()
    cut = {"cut_context": True}
    assert score_predictor(chain, tmp_path / "cut.json", cut, predictor=predictor) == 0
    # The same as if the first frame of the context were not there.
    model = load_predictor(predictor)
    with h5py.File(chain / "slots/test.h5") as file:
        slots = torch.from_numpy(file["slots"][:, : CONTEXT + PREDS])
    with torch.no_grad():
        predicted = rollout(model, slots[:, 1:CONTEXT], PREDS)
    expected = (predicted - slots[:, CONTEXT:]).square().mean().item()
    scores = json.loads((tmp_path / "cut.json").read_text())
    assert scores["metrics"]["slot_mse"]["mean"] == pytest.approx(expected, rel=1e-4)


def test_a_protocol_decides_what_counts_as_moving(chain, tmp_path):
    assert score_predictor(chain, tmp_path / "far.json", {"moving_pixels": PREDS + 0.5}) == 0
    comparisons = json.loads((tmp_path / "far.json").read_text())["comparisons"]
    assert comparisons["num_videos"] == 0


def test_a_savi_is_scored_beside_two_naive_segmenters(chain, tmp_path):
    assert score_savi(chain, tmp_path / "all.json") == 0
    assert score_savi(chain, tmp_path / "five.json", num_frames=5) == 0
    scores = json.loads((tmp_path / "all.json").read_text())
    five = json.loads((tmp_path / "five.json").read_text())
    assert (scores["num_frames"], five["num_frames"]) == (NUM_FRAMES, 5)
    assert set(scores["metrics"]) == {*PIXEL_METRICS, *MASK_METRICS}
    assert len(five["metrics"]["psnr"]["per_frame"]) == 5
    # three colours in three segments: k-means finds the squares
    assert scores["metrics"]["fg_ari_clip"]["kmeans_colour"] == pytest.approx(1.0)
    assert scores["metrics"]["tracks_kept"]["kmeans_colour"] == 1.0
    assert scores["metrics"]["id_switches"]["kmeans_colour"] == 0.0
    assert scores["num_without_objects"] == 0
    # boxes held: right in the first frame, then one pixel further off in each
    expected = np.mean([miou_behind(t) for t in range(NUM_FRAMES)])
    assert scores["metrics"]["miou"]["held_boxes"] == pytest.approx(expected)


def test_a_savi_that_starts_from_noise_scores_the_same_for_the_same_seed(chain, tmp_path):
    savi = write_savi(tmp_path / "savi.pt", initializer="learned_random")
    found = []
    for index, seed in enumerate((3, 3, 4)):
        output = tmp_path / f"{index}.json"
        assert score_savi(chain, output, savi=savi, seed=seed) == 0
        found.append(json.loads(output.read_text())["per_video"])
    assert found[0] == found[1]
    assert found[0]["psnr"] != found[2]["psnr"]


def test_videos_without_masks_or_boxes_are_scored_by_pixels(chain, tmp_path):
    bare = write_videos(tmp_path / "test.h5", num_videos=2, fields=("frames",))
    savi = write_savi(tmp_path / "savi.pt", initializer="random")
    assert score_savi(chain, tmp_path / "scores.json", videos=bare, savi=savi) == 0
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert scores["metrics"]["psnr"]["mean"] is not None
    for name in MASK_METRICS:
        assert scores["metrics"][name]["reason"] == "the videos have no masks"
        assert "kmeans_colour" not in scores["metrics"][name]


def test_frames_that_are_not_there_are_refused(chain, tmp_path, capsys):
    assert score_savi(chain, tmp_path / "scores.json", num_frames=9) == 1
    assert_one_error(capsys.readouterr().err, "evaluation.num_frames is 9", "have 8 frames")
    assert score_predictor(chain, tmp_path / "scores.json", {"num_preds": 6}) == 1
    assert_one_error(capsys.readouterr().err, "num_context + num_preds is 9", "have 8 frames")
    assert not (tmp_path / "scores.json").exists()


# --- tables ------------------------------------------------------------------------------------


def summarize_files(folder, *paths):
    tables = ("--summary", folder / "summary.csv", "--comparisons", folder / "comparisons.csv")
    return call(summarize.main, *paths, *tables)


def test_the_tables_hold_what_the_files_hold(chain, tmp_path):
    results = tmp_path / "squares" / "small" / "seed1"
    own, predicted = results / "evaluation.json", results / "lstm" / "evaluation" / "short.json"
    assert score_savi(chain, own) == 0
    assert score_predictor(chain, predicted) == 0
    assert summarize_files(tmp_path, own, predicted) == 0
    table = pd.read_csv(tmp_path / "summary.csv", keep_default_na=False)
    assert tuple(table.columns) == SUMMARY_COLUMNS
    assert set(table["savi"]) == {"small", "kmeans_colour", "held_boxes"}
    assert set(table["dataset"]) == {"squares"}
    assert set(table["seed"]) == {1}
    scores = json.loads(predicted.read_text())["metrics"]
    rows = table[table["predictor"] == "lstm"].set_index("metric")
    assert list(rows.index) == list(METRICS)
    assert set(rows["protocol"]) == {"short"}
    for metric, entry in scores.items():
        for column, key in (("value", "mean"), *((name, name) for name in BASELINES)):
            found = rows.loc[metric, column]
            assert (found == "") if entry[key] is None else float(found) == entry[key]
    compared = pd.read_csv(tmp_path / "comparisons.csv")
    assert tuple(compared.columns) == COMPARISON_COLUMNS
    assert list(compared["metric"]) == ["centre_error", "slot_mse", "miou"]
    comparisons = json.loads(predicted.read_text())["comparisons"]
    assert compared["gain_mean"][0] == comparisons["centre_error"]["gain"]["mean"]
    assert compared["gain_low"].isna().all()  # of four videos
    assert set(compared["reason"]) == {TOO_FEW}


def test_a_study_without_predictors_has_a_table_with_a_head_only(chain, tmp_path):
    own = tmp_path / "squares" / "small" / "seed1" / "evaluation.json"
    assert score_savi(chain, own) == 0
    assert summarize_files(tmp_path, own) == 0
    compared = pd.read_csv(tmp_path / "comparisons.csv")
    assert tuple(compared.columns) == COMPARISON_COLUMNS
    assert len(compared) == 0


def test_files_that_hold_no_scores_are_named(tmp_path, capsys):
    stray = tmp_path / "scores.json"
    stray.write_text("{}")
    assert summarize_files(tmp_path, stray) == 1
    assert_one_error(capsys.readouterr().err, "does not say what it scores", stray)
    path = tmp_path / "squares" / "small" / "seed1" / "evaluation.json"
    path.parent.mkdir(parents=True)
    for content, reason in (('{"metrics": ', "cannot be read as JSON"), ("[]", "is damaged")):
        path.write_text(content)
        assert summarize_files(tmp_path, path) == 1
        assert_one_error(capsys.readouterr().err, path, reason)
    assert not (tmp_path / "summary.csv").exists()

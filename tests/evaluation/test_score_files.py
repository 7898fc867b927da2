"""Files of scores: what tables and figures need is there, or the file is named."""

import json

import pytest

from ocvp.evaluation.score_files import read_score_file
from ocvp.evaluation.tables import comparison_rows, summary_rows

INTERVAL = {"mean": 0.5, "low": 0.25, "high": 1.0}
NO_BOUNDS = {"mean": 0.5, "low": None, "high": None}
SCORES = {
    "protocol": {"num_context": 2, "num_preds": 3, "split": "test"},
    "metrics": {
        "psnr": {"mean": 20.5, "per_frame": [21.0, None], "ceiling": 30.0},
        "ari": {"mean": None, "per_frame": None, "reason": "no masks"},
    },
    "comparisons": {
        "subset": "moving",
        "num_videos": 4,
        "slot_mse": {
            **{"num_videos": 3, "prediction": 1.0, "copy_last_slots": 2.0, "ceiling": 0.0},
            **{"gap": INTERVAL, "gap_closed": 0.5, "gain": INTERVAL, "beyond_half_gap": INTERVAL},
            "gain_over_constant_velocity": None,
        },
        "miou": {
            **{"num_videos": 3, "prediction": 1.0, "copy_last_slots": 2.0, "ceiling": 0.0},
            **{"gap": NO_BOUNDS, "gap_closed": None, "gain": NO_BOUNDS, "beyond_half_gap": None},
            "reason": "fewer than 10 videos",
        },
        "centre_error": {"reason": "no video in which objects move"},
    },
    "per_video": {"psnr": [20.5]},
}


def read(tmp_path, scores):
    path = tmp_path / "short.json"
    path.write_text(json.dumps(scores))
    return read_score_file(path)


def test_scores_are_read_as_they_are(tmp_path):
    assert read(tmp_path, SCORES) == SCORES
    of_savi = {"split": "val", "metrics": SCORES["metrics"]}
    assert read(tmp_path, of_savi) == of_savi


@pytest.mark.parametrize(
    ("keys", "value", "message"),
    [
        (("metrics",), None, "metrics: input should be"),
        (("metrics", "psnr", "mean"), "20.5", "metrics.psnr.mean"),
        (("metrics", "psnr", "per_frame"), [21.0, "x"], "metrics.psnr.per_frame.1"),
        (("metrics", "psnr"), {}, "metrics.psnr.mean: field required"),
        (("protocol",), None, "either split or protocol is needed"),
        (("protocol", "num_preds"), 0, "protocol.num_preds"),
        (("protocol", "split"), "tset", "protocol.split"),
        (("comparisons", "slot_mse", "gain"), {"mean": 1.0}, "slot_mse"),
        (("comparisons", "slot_mse", "ceiling"), True, "slot_mse"),
        (("comparisons", "slot_mse", "beyond_half_gap"), None, "slot_mse"),
        (("comparisons", "slot_mse", "gap"), None, "slot_mse"),
        (("comparisons", "slot_mse", "gain", "low"), "0", "slot_mse"),
        (("comparisons", "miou", "reason"), None, "miou"),
        (("comparisons", "miou", "num_videos"), None, "miou"),
        (("comparisons", "num_videos"), [], "num_videos"),
    ],
)
def test_a_damaged_file_is_named_with_its_key(tmp_path, keys, value, message):
    scores = json.loads(json.dumps(SCORES))
    part = scores
    for key in keys[:-1]:
        part = part[key]
    part[keys[-1]] = value
    with pytest.raises(ValueError, match=message) as raised:
        read(tmp_path, scores)
    assert str(raised.value).startswith(f"{tmp_path}/short.json is damaged: ")


def test_what_has_no_interval_is_empty_in_the_table(tmp_path):
    sound, few = comparison_rows({}, read(tmp_path, SCORES))
    assert (sound["gap_closed"], sound["gain_low"], sound["reason"]) == (0.5, 0.25, None)
    assert sound["gain_over_constant_velocity_mean"] is None
    assert (few["gap_closed"], few["gain_mean"], few["gain_low"]) == (None, 0.5, None)
    assert (few["beyond_half_gap_mean"], few["reason"]) == (None, "fewer than 10 videos")


def test_whatever_is_read_gives_rows(tmp_path):
    """Each entry that is not needed may be lost."""
    for metric in SCORES["metrics"].values():
        for key in {*metric} - {"mean", "per_frame"}:
            lost = {name: value for name, value in metric.items() if name != key}
            scores = read(tmp_path, {**SCORES, "metrics": {"psnr": lost}, "comparisons": {}})
            assert [row["metric"] for row in summary_rows({}, scores)] == ["psnr"]
            assert comparison_rows({}, scores) == []

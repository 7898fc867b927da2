"""The interval against scipy, against theory, and in its corner cases."""

import numpy as np
import pytest
from scipy import stats

from ocvp.evaluation import bootstrap
from ocvp.evaluation.bootstrap import paired_bootstrap


def test_agrees_with_scipy_and_with_the_normal_interval():
    values = np.random.default_rng(0).normal(0.3, 1.0, size=200)
    result = paired_bootstrap(values, seed=1)
    reference = stats.bootstrap(
        (values,),
        np.mean,
        n_resamples=10_000,
        method="percentile",
        random_state=np.random.default_rng(2),
    ).confidence_interval
    margin = 0.1 * values.std() / np.sqrt(200)
    assert result["mean"] == pytest.approx(values.mean())
    assert result["low"] == pytest.approx(reference.low, abs=margin)
    assert result["high"] == pytest.approx(reference.high, abs=margin)
    half = 1.96 * values.std() / np.sqrt(200)
    assert result["high"] - result["low"] == pytest.approx(2 * half, rel=0.05)


def test_interval_covers_the_truth_about_as_often_as_it_says(monkeypatch):
    monkeypatch.setattr(bootstrap, "NUM_RESAMPLES", 500)
    rng = np.random.default_rng(3)
    covered = 0
    for trial in range(200):
        result = paired_bootstrap(rng.normal(size=60), seed=trial)
        covered += result["low"] <= 0 <= result["high"]
    assert 0.88 <= covered / 200 <= 0.99


def test_pairing_leaves_out_what_both_models_share():
    rng = np.random.default_rng(4)
    difficulty = rng.normal(0, 10, size=50)
    first, second = difficulty + 0.2 + rng.normal(0, 0.1, 50), difficulty
    assert paired_bootstrap(first - second, seed=0)["low"] > 0


def test_same_seed_same_interval():
    values = np.random.default_rng(5).normal(size=30)
    assert paired_bootstrap(values, seed=7) == paired_bootstrap(values, seed=7)
    assert paired_bootstrap(values, seed=7) != paired_bootstrap(values, seed=8)


def test_blocks_of_resamples_do_not_change_the_result(monkeypatch):
    monkeypatch.setattr(bootstrap, "NUM_RESAMPLES", 1001)
    values = np.random.default_rng(6).normal(size=31)
    whole = paired_bootstrap(values, seed=0)
    monkeypatch.setattr(bootstrap, "_BLOCK", 31 * 10)
    assert paired_bootstrap(values, seed=0) == whole


def test_undefined_videos_are_dropped():
    values = np.array([1.0, np.nan, 2.0, 4.0, np.nan])
    assert paired_bootstrap(values, seed=0) == paired_bootstrap([1.0, 2.0, 4.0], seed=0)


def test_one_video_and_equal_videos_have_no_width():
    assert paired_bootstrap([0.5], seed=0) == {"mean": 0.5, "low": 0.5, "high": 0.5}
    assert set(paired_bootstrap([0.25] * 8, seed=0).values()) == {0.25}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], "no number"),
        ([np.nan, np.nan], "undefined for every video"),
        ([1.0, np.inf], "infinity"),
        ([[1.0, 2.0]], r"shape \(V,\)"),
    ],
)
def test_wrong_input_is_refused(values, message):
    with pytest.raises(ValueError, match=message):
        paired_bootstrap(values, seed=0)

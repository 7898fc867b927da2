"""Which model is surely the best, by paired differences over videos."""

import numpy as np
import pytest

from ocvp.evaluation.best import best_models, is_surely_above, mark_best

NUM_VIDEOS = 20
HARD = np.linspace(1.0, 9.0, NUM_VIDEOS)
"""Videos differ far more than models do."""
WAVE = 0.05 * np.cos(np.arange(NUM_VIDEOS))


def scores(**metrics):
    return {name: list(values) for name, values in metrics.items()}


def test_a_small_difference_in_each_video_is_sure():
    models = {
        "lstm": scores(centre_error=HARD, psnr=-HARD),
        "ocvp": scores(centre_error=HARD - 0.1 + WAVE, psnr=-HARD + WAVE),
    }
    # of psnr the difference is the wave, whose mean is near 0
    assert best_models(models) == {"lstm": [], "ocvp": ["centre_error"]}


def test_the_best_beats_each_other_one():
    models = {
        "lstm": scores(miou=HARD),
        "ocvp_seq": scores(miou=HARD + 0.1 + WAVE),
        "ocvp_par": scores(miou=HARD + 0.11),
    }
    assert best_models(models) == {"lstm": [], "ocvp_seq": [], "ocvp_par": []}
    assert best_models(models | {"ocvp_par": scores(miou=HARD + 0.3)})["ocvp_par"] == ["miou"]
    assert best_models({"lstm": scores(miou=HARD)}) == {"lstm": []}  # it beats nobody


@pytest.mark.parametrize(
    ("values", "others"),
    [
        (HARD[:9] + 1, HARD[:9]),  # too few videos for an interval
        (HARD, HARD[:-1]),  # other videos
        (HARD, np.full(NUM_VIDEOS, np.nan)),
        (HARD, HARD),
    ],
)
def test_what_has_no_interval_above_zero_is_not_sure(values, others):
    assert not is_surely_above(values, others)
    assert is_surely_above(HARD + 1, HARD)


def test_models_stand_against_those_of_their_table():
    def found(savi, predictor, seed, protocol, value):
        names = {"dataset": "a", "savi": savi, "predictor": predictor, "seed": seed}
        per_video = scores(miou=HARD + value) | {"slot_mse": [None] * NUM_VIDEOS}
        content = {"per_video": per_video, "protocol": {"split": "test"}}
        return names | {"protocol": protocol}, content

    rows = [
        found("small", "lstm", 0, "short", 1),
        found("small", "ocvp", 0, "short", 2),
        found("small", "ocvp", 0, "long", 0),  # alone
        found("small", "ocvp", 1, "short", 0),  # of another seed, alone too
        found("large", "lstm", 0, "short", 3),  # of another SAVi
    ]
    marked = [content["best"] for _, content in mark_best(rows)]
    assert marked == [[], ["miou"], [], [], []]
    savis = [
        ({"dataset": "a", "savi": name, "seed": 0, "protocol": "decomposition"}, content)
        for name, content in (
            ("small", {"split": "test", "per_video": scores(miou=HARD)}),
            ("large", {"split": "test", "per_video": scores(miou=HARD + 1)}),
            ("large", {"split": "test", "metrics": {}}),  # what probes read
        )
    ]
    assert [content["best"] for _, content in mark_best(savis)] == [[], ["miou"], []]

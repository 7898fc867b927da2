"""Which videos a study's page shows, and in which order."""

import pytest

from ocvp.evaluation.ranking import Ranking, named_video, rank_videos, spread


@pytest.mark.parametrize(
    ("name", "video"), [("best", 4), ("median", 0), ("worst", 2), ("video0", 0), ("video12", 12)]
)
def test_a_figure_s_name_stands_for_a_video(name, video):
    assert named_video(name, Ranking("miou", [4, 1, 0, 3, 2])) == video


def test_a_ranking_of_one_video_has_it_everywhere():
    ranking = Ranking("miou", [7])
    assert {named_video(name, ranking) for name in ("best", "median", "worst")} == {7}
    with pytest.raises(ValueError, match="there is no video 'middle'; allowed are video0"):
        named_video("middle", ranking)


def scores(**per_video):
    return {"per_video": per_video}


def test_videos_are_ranked_by_the_mean_over_predictors():
    first = scores(miou=[0.1, 0.9, 0.5, None], psnr=[40.0, 10.0, 20.0, 30.0])
    second = scores(miou=[0.3, 0.1, 0.9, 0.8], psnr=[40.0, 10.0, 20.0, 30.0])
    # means 0.2, 0.5, 0.7; the last one has no value of the first predictor
    assert rank_videos([first, second]) == ("miou", [2, 1, 0])


def test_without_masks_psnr_ranks():
    nothing = scores(psnr=[20.0, 30.0, 25.0])
    assert rank_videos([nothing]) == ("psnr", [1, 2, 0])
    assert rank_videos([scores(miou=[None] * 3, psnr=[20.0, 30.0, 25.0])]).metric == "psnr"
    with pytest.raises(ValueError, match="no video has a score by miou or psnr"):
        rank_videos([{"metrics": {}}])


def test_the_best_and_the_worst_come_first_and_the_others_lie_evenly_between():
    ranked = list(range(100, 201))
    assert spread(ranked, 5) == [100, 200, 125, 150, 175]
    assert spread(ranked, 2) == [100, 200]
    assert spread(ranked, 1) == [100]
    assert spread([7, 3], 16) == [7, 3]
    assert sorted(spread(ranked, 101)) == ranked

"""The page holds what predictors were scored for, and nothing from outside."""

import json
import re

import numpy as np
import pytest
from tiny import (
    NUM_OBJECTS,
    NUM_SLOTS,
    SIDE,
    make_savi,
    squares,
    write_predictor,
    write_random_slots,
    write_savi,
    write_videos,
)

from ocvp.config.tree import Protocol, Runtime
from ocvp.evaluation.predictor_scores import score_predictor
from ocvp.evaluation.ranking import rank_videos
from ocvp.models.loading import load_predictor, load_savi
from ocvp.pictures import rollout_page
from ocvp.pictures.compared import compared_rollouts
from ocvp.pictures.rollout_page import Group

NUM_CONTEXT, NUM_PREDS = 3, 4
LENGTHS = {"num_context": NUM_CONTEXT, "num_preds": NUM_PREDS}


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """Rollouts of videos 2 and 0 by two predictors, and the scores of these."""
    folder = tmp_path_factory.mktemp("compared")
    path = write_savi(folder / "savi.pt")
    videos = write_videos(folder / "test.h5", num_videos=3)
    slots = write_random_slots(folder / "slots.h5", path, num_videos=3)
    savi = load_savi(path)
    predictors = {
        kind: load_predictor(write_predictor(folder / f"{kind}.pt", path, kind))
        for kind in ("lstm", "ocvp_seq")
    }
    shown = list(compared_rollouts(savi, predictors, videos, slots, [2, 0], **LENGTHS))
    protocol = Protocol(**LENGTHS)
    scores = {
        name: score_predictor(savi, predictor, videos, slots, protocol, Runtime())
        | {"protocol": LENGTHS}
        for name, predictor in predictors.items()
    }
    return shown, scores


def test_curves_are_those_of_the_scores(compared):
    shown, scores = compared
    for name in ("lstm", "ocvp_seq"):
        for video, rollout in zip((2, 0), shown, strict=True):
            for metric in ("psnr", "ssim", "miou", "fg_ari_frame", "centre_error"):
                curve = rollout.curves[name][metric]
                assert curve.shape == (NUM_PREDS,)
                expected = scores[name]["per_video"][metric][video]
                assert np.nanmean(curve) == pytest.approx(expected, rel=1e-6), (name, metric)


def test_what_is_shown_is_the_video_and_its_rollouts(compared):
    shown, _ = compared
    length = NUM_CONTEXT + NUM_PREDS
    for video, rollout in zip((2, 0), shown, strict=True):
        np.testing.assert_array_equal(rollout.frames, squares(video)["frames"][:length])
        np.testing.assert_array_equal(rollout.labels, squares(video)["masks"][:length])
        assert len(rollout.slots_of_labels) == NUM_OBJECTS + 1
        assert rollout.colours.shape == (NUM_SLOTS, 3)
        first, second = rollout.rollouts.values()
        assert first.masks.shape == (length, NUM_SLOTS, SIDE, SIDE)
        # the context is SAVi's, what follows each predictor's own
        np.testing.assert_array_equal(first.frames[:NUM_CONTEXT], second.frames[:NUM_CONTEXT])
        assert not np.array_equal(first.masks[NUM_CONTEXT:], second.masks[NUM_CONTEXT:])


def test_without_masks_frames_are_scored(tmp_path):
    savi, _ = make_savi()
    path = write_savi(tmp_path / "savi.pt")
    videos = write_videos(tmp_path / "test.h5", num_videos=1, fields=("frames",))
    slots = write_random_slots(tmp_path / "slots.h5", path, num_videos=1)
    predictor = load_predictor(write_predictor(tmp_path / "lstm.pt", path))
    (shown,) = compared_rollouts(savi, {"lstm": predictor}, videos, slots, [0], **LENGTHS)
    assert shown.labels is None
    assert shown.slots_of_labels == [-1]
    assert set(shown.curves["lstm"]) == {"psnr", "ssim"}
    assert rollout_page.picked_content(shown)["truth"]["masks"] is None


def page_of(compared, title):
    shown, scores = compared
    group = Group({"protocol": "short"}, scores, rank_videos(list(scores.values())), fps=None)
    listed = [
        {"group": 0, **rollout_page.listed_content(group, video, rollout)}
        for video, rollout in zip((2, 0), shown, strict=True)
    ]
    picked = [rollout_page.as_json(rollout_page.picked_content(rollout)) for rollout in shown]
    content = rollout_page.group_content(group, shown[0])
    return rollout_page.render(title, [content], listed, picked)


def test_the_page_holds_all_and_asks_for_nothing(compared):
    text = page_of(compared, "a study")
    assert "{{" not in text
    assert re.findall(r"""(?:src|href)\s*=\s*["'](?!data:)""", text) == []
    # the name of SVG, which nothing asks for
    assert set(re.findall(r"https?://[^\"' ]+", text)) == {"http://www.w3.org/2000/svg"}
    assert "default-src 'none'" in text
    contents = re.findall(r'<script type="application/json" id="([^"]+)">(.*?)</script>', text)
    found = {name: json.loads(content) for name, content in contents}
    assert list(found) == ["study", "video-0", "video-1"]
    (group,) = found["study"]["groups"]
    assert group["num_frames"] == NUM_CONTEXT + NUM_PREDS
    assert group["size"] == [SIDE, SIDE]
    assert [video["video"] for video in found["study"]["videos"]] == [2, 0]
    _, scores = compared
    for number, video in enumerate((2, 0)):
        expected = [scores[name]["per_video"]["miou"][video] for name in ("lstm", "ocvp_seq")]
        assert found["study"]["videos"][number]["scores"] == pytest.approx(expected, rel=1e-4)
        assert found["study"]["videos"][number]["score"] == pytest.approx(sum(expected) / 2, 1e-4)
        assert len(found[f"video-{number}"]["rollouts"]) == 2


def test_no_name_breaks_the_page(compared):
    text = page_of(compared, "</title><script>alert(1)</script> {{scripts}}")
    assert "alert(1)</script>" not in text
    assert "&lt;script&gt;alert(1)" in text
    assert text.count('const study = readJson("study");') == 1  # the parts are put in once
    assert rollout_page.as_json({"name": "</script>"}) == '{"name":"\\u003c/script>"}'

"""The page of a study's rollouts holds what the study scored."""

import json
import re
from pathlib import Path

import pytest
import yaml
from conftest import TINY
from snakemake_runs import smallest_study
from tiny import assert_one_error, call

from ocvp import make_page
from ocvp.config.whole import read_config
from ocvp.study.pages import page_path, shown_chains, shown_files

CHAIN = Path("results/tiny/small/seed1")
PREDICTORS = ("lstm", "transformer", "ocvp_seq", "ocvp_par")


def contents_of(page):
    """Return what a page holds, by the names of its elements."""
    pattern = r'<script type="application/json" id="([^"]+)">(.*?)</script>'
    found = re.findall(pattern, page.read_text(encoding="utf-8"))
    return {name: json.loads(content) for name, content in found}


@pytest.mark.xdist_group("finished-study")
def test_the_page_of_the_study_holds_the_scores_of_its_videos(finished_study):
    config = read_config(yaml.safe_load(TINY.read_text(encoding="utf-8")))
    contents = contents_of(finished_study.folder / page_path(config))
    study = contents["study"]
    assert [group["names"]["protocol"] for group in study["groups"]] == ["short", "validation"]
    # four videos of the test split and three of the other one
    assert len(study["videos"]) == len(contents) - 1 == 7
    for number, video in enumerate(study["videos"]):
        group = study["groups"][video["group"]]
        protocol = group["names"]["protocol"]
        for index, name in enumerate(PREDICTORS):
            path = finished_study.folder / CHAIN / name / "evaluation" / f"{protocol}.json"
            scores = json.loads(path.read_text(encoding="utf-8"))
            own = scores["per_video"]["psnr"][video["video"]]
            curve = contents[f"video-{number}"]["curves"]["psnr"][index]
            assert sum(curve) / len(curve) == pytest.approx(own, rel=1e-4)
            mean = group["metrics"][0]["means"][index]
            assert mean == pytest.approx(scores["metrics"]["psnr"]["per_frame"], rel=1e-4)
    ranks = [video["rank"] for video in study["videos"] if video["group"] == 0]
    assert ranks == [1, 4, 2, 3]  # best, worst, and between


@pytest.mark.xdist_group("finished-study")
def test_a_page_that_would_be_too_large_shows_fewer_videos(copied, tmp_path, caplog, monkeypatch):
    config = smallest_study()
    page = tmp_path / "page.html"
    assert call(make_page.main, "--config", config, "--output", page) == 0
    first = contents_of(page)["video-0"]
    # Room for one video, and not for two.
    monkeypatch.setattr(make_page, "MAX_BYTES", int(1.5 * len(json.dumps(first))))
    assert call(make_page.main, "--config", config, "--output", page) == 0
    assert len(contents_of(page)["study"]["videos"]) == 1
    (warning,) = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert "protocol short" in warning
    assert "1 of 4 videos" in warning


def test_a_study_without_scores_has_no_page(tmp_path, capsys):
    config = smallest_study()
    config["study"] |= {"predictors": [], "evaluation": []}
    page = tmp_path / "page.html"
    assert call(make_page.main, "--config", config, "--output", page) == 1
    assert_one_error(capsys.readouterr().err, "no predictor of --config is evaluated")
    assert call(make_page.main, "--output", page) == 1
    assert_one_error(capsys.readouterr().err, "give --config")
    assert not page.exists()


def test_of_many_chains_the_page_shows_the_first():
    config = smallest_study()
    config["study"] |= {"seeds": list(range(30)), "evaluation": ["short", "validation"]}
    shown = shown_chains(read_config(config))
    assert len(shown) == 8  # two of the sixteen videos each
    assert [chain.names["seed"] for chain in shown[:3]] == ["0", "0", "1"]
    assert [chain.names["protocol"] for chain in shown[:3]] == ["short", "validation", "short"]
    files = shown_files(shown)
    assert len(files["savi"]) == 4
    assert files["videos"] == ["results/tiny/videos/test.h5", "results/tiny/videos/val.h5"]
    assert files["scores"][0] == "results/tiny/small/seed0/lstm/evaluation/short.json"

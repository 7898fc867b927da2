"""A warning where weights are selected by the videos that they are scored on."""

import json
from pathlib import Path

import pytest
import yaml
from snakemake_runs import PROJECT, run_snakemake
from staleness_rows import set_key

from ocvp.config.whole import read_config
from ocvp.study.selection import warn_of_selection

TINY = Path(__file__).parents[1] / "helpers" / "tiny.yaml"
BEST = {
    "savi.small.training.select": "best",
    "predictors.lstm.training.select": "best",
}
MOVI = {"kind": "movi", "resolution": [16, 16], "num_frames": 8, "max_objects": 3}
FILMS = {"kind": "folder", "resolution": [16, 16], "num_frames": 8}


def warnings(caplog, **edits):
    """Return the warnings about tests/helpers/tiny.yaml with some keys set."""
    config = json.loads(json.dumps(yaml.safe_load(TINY.read_text(encoding="utf-8"))))
    set_key(config, "study.evaluation", ["short"])
    for key, value in edits.items():
        set_key(config, key, value)
    warn_of_selection(read_config(config))
    return [record.getMessage() for record in caplog.records]


def films(folder, **links):
    """Make folders of films, and links from one to another; return a data set of them."""
    for split in {"train", "val", "test"} - set(links):
        (folder / split).mkdir()
        (folder / split / f"{split}.mp4").touch()
    for split, target in links.items():
        (folder / split).symlink_to(target)
    return FILMS | {"root": str(folder)}


def test_separate_videos_and_last_weights_are_no_matter(caplog, tmp_path):
    unconditional = {"savi.small.model.initializer": "random"}
    assert warnings(caplog, **BEST) == []
    assert warnings(caplog, **{"study.evaluation": ["validation"]}) == []
    own = {"datasets.tiny": films(tmp_path)} | unconditional
    assert warnings(caplog, **BEST, **own) == []
    assert warnings(caplog, **BEST, **{"datasets.tiny": MOVI | {"splits": "divided"}}) == []
    missing = {"datasets.tiny": FILMS | {"root": str(tmp_path / "gone")}} | unconditional
    assert warnings(caplog, **BEST, **missing) == []


def test_scores_on_the_validation_split_are_named_once(caplog):
    (text,) = warnings(caplog, **BEST, **{"study.evaluation": ["short", "validation"]})
    assert "select is best" in text
    assert "give select: last, or score on other videos" in text
    assert text.count("predictors.lstm (evaluation.validation.split is val)") == 1
    assert text.count("savi.small (evaluation.validation.split is val)") == 1
    assert "short" not in text
    assert "transformer" not in text


def test_a_savi_that_is_scored_on_val(caplog):
    (text,) = warnings(caplog, **BEST, **{"savi.small.evaluation.split": "val"})
    assert "savi.small (savi.small.evaluation.split is val)" in text
    assert "lstm" not in text


def test_a_data_set_whose_val_is_its_test(caplog):
    (text,) = warnings(caplog, **BEST, **{"datasets.tiny": MOVI | {"splits": "published"}})
    same = "(val and test of datasets.tiny are the same videos)"
    assert f"savi.small {same}, predictors.lstm {same}" in text


@pytest.mark.parametrize("links", [{"val": "test"}, {"test": "val"}])
def test_folders_that_are_one(caplog, tmp_path, links):
    own = {"datasets.tiny": films(tmp_path, **links), "savi.small.model.initializer": "random"}
    (text,) = warnings(caplog, **BEST, **own)
    assert "val and test of datasets.tiny are the same videos" in text


def test_the_workflow_says_it_once(tmp_path):
    config = json.loads(json.dumps(yaml.safe_load(TINY.read_text(encoding="utf-8"))))
    for key, value in BEST.items():
        set_key(config, key, value)
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    run = run_snakemake("-n", "--cores", "1", "--configfile", path, folder=tmp_path, read=PROJECT)
    assert run.status == 0
    assert run.text.count("select is best") == 1
    assert "predictors.lstm (evaluation.validation.split is val)" in run.text

"""A study in one file: what is in it, and that another machine can evaluate from it."""

import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import forked
import pytest
import yaml
from conftest import TINY
from snakemake_runs import run_snakemake
from staleness_rows import set_key
from tiny import assert_one_error, call

from ocvp import archive, provenance
from ocvp.config.experiments import evaluation_config
from ocvp.config.whole import read_config

CHAIN = "results/tiny/small/seed1"


@pytest.fixture
def unpacked(copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The packed and unpacked study, on another machine: an empty working folder."""
    # Slots and videos may have been deleted to save space.
    (copied / CHAIN / "slots" / "train.h5").unlink()
    (copied / "results" / "another.tar.gz").touch()
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    assert call(archive.main, "--output", "../packed.tar.gz", "--directory", copied) == 0
    shutil.rmtree(copied)
    with tarfile.open(tmp_path / "packed.tar.gz") as file:
        # no argument: Python 3.11.3 and before have no filters
        file.extraction_filter = getattr(tarfile, "data_filter", None)
        file.extractall(folder)
    return folder


def test_it_holds_models_tables_figures_records_and_no_videos(unpacked):
    folder = unpacked / "packed"
    for name in ("README.md", "config.yaml", "study.yaml", "chain.txt", "results/summary.csv"):
        assert (folder / name).is_file()
    chain = folder / CHAIN
    for name in ("savi.pt", "lstm/predictor.pt", "figures/slots.png", "lstm/evaluation/short.json"):
        assert (chain / name).is_file()
    assert (chain / "ocvp_par/figures/short_video0.gif").is_file()
    assert (folder / "results/training_time.csv").is_file()
    assert not list(folder.rglob("*.h5"))
    assert not list(folder.rglob("resume*"))
    assert not list(folder.rglob("another*"))
    assert (folder / "results/tiny/videos/train.provenance.json").is_file()


def test_its_study_is_the_one_that_was_made(unpacked):
    written = yaml.safe_load((unpacked / "packed/study.yaml").read_text())
    assert read_config(written) == read_config(yaml.safe_load(TINY.read_text(encoding="utf-8")))


def test_the_chain_can_be_shown_from_it(unpacked, capsys):
    figure = f"packed/{CHAIN}/ocvp_par/figures/short_video0.png"
    assert call(provenance.main, figure, "--verify") == 0
    text = capsys.readouterr().out
    assert "raw data: none, 6 videos were simulated" in text
    assert f"train: packed/{CHAIN}/slots/train.h5  (gone)" in text
    assert "made by summarize" in (unpacked / "packed/chain.txt").read_text()


def test_another_machine_evaluates_from_it_and_finds_the_same_scores(unpacked, finished_study):
    config = unpacked / "packed/config.yaml"
    override = unpacked / "one.yaml"
    one = (
        "{datasets: [tiny], savi: [small], predictors: [ocvp_par], evaluation: [short], seeds: [1]}"
    )
    override.write_text(f"study: {one}")
    run = run_snakemake(
        *("evaluate_predictor", "--cores", "2", "--configfile", config, override),
        folder=unpacked,
        project=finished_study.project,
        environment=finished_study.environment,
        python=forked.python(),
    )
    assert run.status == 0, run.text
    assert "rule import_savi" in run.text
    assert "rule fit_savi" not in run.text
    scores = f"{CHAIN}/ocvp_par/evaluation/short.json"
    found, packed = (json.loads((unpacked / top / scores).read_text()) for top in (".", "packed"))
    assert found["metrics"] == packed["metrics"]
    assert found["digests"] == packed["digests"]


def test_variants_of_a_grid_are_entries_of_their_own():
    config: dict[str, Any] = json.loads(json.dumps(yaml.safe_load(TINY.read_text())))
    set_key(config, "predictors.lstm.grid", {"num_cells": [1, 2]})
    set_key(config, "savi.small.start_from", "other.pt")
    packed = evaluation_config(read_config(config), "packed/results")
    assert {"lstm-num_cells1", "lstm-num_cells2"} <= packed["predictors"].keys()
    study = read_config(packed)
    entry = study.predictors["lstm-num_cells2"]
    filled = entry.of_job(dataset="tiny", savi="small", seed=1, predictor="lstm-num_cells2")
    assert filled.pretrained == f"packed/{CHAIN}/lstm-num_cells2/predictor.pt"
    assert entry.model.num_cells == 2
    assert study.savi["small"].start_from is None


def test_a_product_that_is_a_link_is_packed_as_the_file(copied, tmp_path):
    folder = Path("results/tiny/small/seed1")
    contents = {}
    for path in (folder / "savi.pt", folder / "evaluation.json", Path("results/summary.csv")):
        contents[str(path)] = path.read_bytes()
        elsewhere = tmp_path / "other disk" / path.name
        elsewhere.parent.mkdir(exist_ok=True)
        path.rename(elsewhere)
        path.symlink_to(elsewhere)
    assert call(archive.main, "--output", tmp_path / "study.tar.gz") == 0
    with tarfile.open(tmp_path / "study.tar.gz") as packed:
        assert all(entry.isreg() for entry in packed)
        for name, content in contents.items():
            assert packed.extractfile(f"study/{name}").read() == content


def test_a_missing_product_is_named_and_nothing_is_written(copied, capsys):
    (copied / CHAIN / "lstm/predictor.pt").unlink()
    assert call(archive.main, "--output", "packed.tar.gz") == 1
    assert_one_error(capsys.readouterr().err, f"{CHAIN}/lstm/predictor.pt is missing")
    assert not Path("packed.tar.gz").exists()


def test_tables_and_figures_must_be_those_of_the_scores(copied, capsys):
    path = copied / CHAIN / "evaluation.provenance.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"products": {"evaluation.json": "sha256:newer"}}))
    assert call(archive.main, "--output", "packed.tar.gz") == 1
    message = "results/summary.csv is outdated: results/tiny/small/seed1/evaluation.json"
    assert_one_error(capsys.readouterr().err, message)
    figure = copied / CHAIN / "lstm/figures/short_video0.png"
    figure.unlink()
    assert call(archive.main, "--output", "packed.tar.gz") == 1
    assert_one_error(capsys.readouterr().err, "lstm/figures/short_video0.png is missing")
    assert not Path("packed.tar.gz").exists()


def test_tables_of_two_studies_are_not_packed_together(copied, capsys):
    path = copied / "results/training_time.provenance.json"
    record = json.loads(path.read_text())
    record["config"]["name"] = "other"
    path.write_text(json.dumps(record))
    assert call(archive.main, "--output", "packed.tar.gz") == 1
    message = "results/training_time.csv is of the study other, but results/summary.csv of tiny"
    assert_one_error(capsys.readouterr().err, message)
    assert not Path("packed.tar.gz").exists()


def test_a_study_that_is_not_finished_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert call(archive.main, "--output", "packed.tar.gz") == 1
    assert_one_error(capsys.readouterr().err, "there is no finished study in")


def test_products_that_do_not_belong_together_are_not_packed(copied, capsys):
    path = copied / CHAIN / "lstm/provenance.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"code": "0"}))
    assert call(archive.main, "--output", "packed.tar.gz") == 1
    assert_one_error(capsys.readouterr().err, "lstm/predictor.pt: made with other code")


@pytest.mark.parametrize("name", ["packed.zip", ".tar.gz", "packed"])
def test_the_name_of_the_file_must_be_that_of_an_archive(name, tmp_path, capsys):
    assert call(archive.main, "--output", tmp_path / name) == 1
    assert_one_error(capsys.readouterr().err, "its name must end in .tar.gz or .tgz")

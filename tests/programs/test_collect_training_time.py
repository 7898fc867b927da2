"""results/training_time.csv: what each training took."""

import csv
import json
import shutil
from pathlib import Path

import pytest
import yaml
from conftest import TINY, FinishedStudy
from tiny import assert_one_error, call

from ocvp.collect_training_time import COLUMNS, main, training_row
from ocvp.records.chain import chain_of, walk
from ocvp.runtime.benchmark_files import number, read_benchmark

CHAIN = Path("tiny/small/seed1")


@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with one training's own record and Snakemake's benchmark of its last job."""
    monkeypatch.chdir(tmp_path)
    folder = Path("results") / CHAIN / "ocvp_seq-num_layers2"
    folder.mkdir(parents=True)
    took = {"steps": 800, "epochs": 36, "examples": 12800, "seconds": 5400.0}
    took["device"] = {"type": "cuda", "name": "NVIDIA H100"}
    (folder / "training_time.json").write_text(json.dumps(took))
    benchmark = Path("logs") / folder / "predictor.pt" / "fit_predictor.tsv"
    benchmark.parent.mkdir(parents=True)
    benchmark.write_text("s\th:m:s\tmax_rss\tmax_vms\n1800.0\t0:30:00\t2048.5\t-\n")
    return folder / "predictor.pt"


def test_a_row_says_what_a_training_took(trained):
    assert training_row(trained, Path("logs")) == {
        "dataset": "tiny",
        "savi": "small",
        "predictor": "ocvp_seq-num_layers2",
        "seed": 1,
        "iterations": 800,
        "epochs": 36,
        "hours": 1.5,  # of all sessions
        "device": "NVIDIA H100",
        "last_job_hours": 0.5,
        "peak_memory_mb": 2048.5,
    }


def test_without_benchmarks_only_what_they_know_is_missing(trained):
    shutil.rmtree("logs")
    row = training_row(trained, Path("logs"))
    assert (row["hours"], row["last_job_hours"], row["peak_memory_mb"]) == (1.5, None, None)


def test_what_was_not_measured_is_missing(tmp_path):
    path = tmp_path / "job.tsv"
    assert read_benchmark(path) == {}
    path.write_text("s\tmax_rss\n")
    assert read_benchmark(path) == {}
    path.write_text("s\tmax_rss\n1.0\t5\n2.0\tNA\n")
    last = read_benchmark(path)
    assert (number(last["s"]), number(last["max_rss"]), number(last.get("io_in"))) == (
        2,
        None,
        None,
    )


def test_a_file_that_is_no_model_of_the_workflow_is_named(trained, capsys):
    assert call(main, "somewhere/savi.pt", "--output", "table.csv") == 1
    assert_one_error(capsys.readouterr().err, "somewhere/savi.pt does not say what it holds")
    assert call(main, "results/tiny/small/seed2/savi.pt", "--output", "table.csv") == 1
    assert_one_error(capsys.readouterr().err, "results/tiny/small/seed2/training_time.json")
    assert not Path("table.csv").exists()


def test_a_study_without_trainings_has_an_empty_table(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    study = yaml.safe_load(TINY.read_text(encoding="utf-8"))
    study["savi"]["small"]["pretrained"] = "savi.pt"
    study["study"] |= {"predictors": [], "evaluation": []}
    assert call(main, "--config", study, "--output", "table.csv") == 0
    assert Path("table.csv").read_text() == ",".join(COLUMNS) + "\n"
    assert call(main, "--output", "table.csv") == 1
    assert_one_error(capsys.readouterr().err, "give checkpoints, or --config")


def test_the_workflow_collects_all_its_trainings(finished_study: FinishedStudy, monkeypatch):
    monkeypatch.chdir(finished_study.folder)
    with Path("results/training_time.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == list(COLUMNS)
    assert [row["predictor"] for row in rows] == ["", "lstm", "transformer", "ocvp_seq", "ocvp_par"]
    # Six videos in batches of four: two steps an epoch.
    assert [(row["iterations"], row["epochs"]) for row in rows] == [("6", "3")] + 4 * [("4", "2")]
    for row in rows:
        assert row["device"]
        assert float(row["last_job_hours"]) > float(row["hours"]) >= 0
        assert float(row["peak_memory_mb"]) > 50
    made_of = {str(node.path) for node in walk(chain_of(Path("results/training_time.csv")))}
    assert "results/tiny/videos/train.h5" in made_of, "the chain leads on to the raw data"

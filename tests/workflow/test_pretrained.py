"""Studies of pretrained models: imported instead of trained, and everything after it as ever."""

import json
from pathlib import Path
from typing import Any

import forked
import numpy as np
import pytest
import yaml
from published_files import checkpoint_of, import_case, params_of
from raw_trees import write_obj3d
from snakemake_runs import PROJECT, Job, Run, jobs_in, run_snakemake, stale_jobs

from ocvp.models.checkpoint import read_checkpoint
from ocvp.published.settings import savi_arguments

pytestmark = pytest.mark.slow  # whole studies run

KINDS = {
    "lstm": "LSTM",
    "transformer": "Transformer",
    "ocvp_seq": "OCVPSeq",
    "ocvp_par": "OCVPPar",
}
CHAIN = "results/obj3d/published/seed0"
ENVIRONMENT = {"OMP_NUM_THREADS": "1"}


def study(folder: Path, **predictors: Any) -> Path:
    """Write a study of the published Obj3D models of tests/files, and return its config."""
    published = {
        kind: {"kind": kind, "pretrained": str(checkpoint_of(f"Obj3D/predictor_{name}"))}
        for kind, name in KINDS.items()
    }
    config = {
        "datasets": {"obj3d": {"kind": "obj3d", "root": "OBJ3D", "num_frames": 12}},
        "savi": {"published": {"pretrained": str(checkpoint_of("Obj3D/savi"))}},
        "predictors": predictors or published,
        "evaluation": {"short": {"num_context": 5, "num_preds": 5}},
        "figures": {"num_videos": 1, "upscale": 1},
        "runtime": {"device": "cpu"},
        "study": {
            "datasets": ["obj3d"],
            "savi": ["published"],
            "predictors": list(predictors or published),
            "evaluation": ["short"],
            "seeds": [0],
        },
    }
    path = folder / "study.yaml"
    path.write_text(yaml.dump(config), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def evaluated(shared_folder: Any) -> Path:
    """Evaluate the published models on three videos; there is no training split on disk."""

    def build(folder: Path) -> None:
        write_obj3d(folder / "OBJ3D", {"test": 3}, num_frames=12)
        run = run_snakemake(
            *("--cores", "4", "--configfile", study(folder)),
            folder=folder,
            environment=ENVIRONMENT,
            python=forked.python(),
        )
        (folder / "run.txt").write_text(f"{run.status}\n{run.text}", encoding="utf-8")

    return shared_folder("pretrained", build)


@pytest.fixture(scope="module")
def run(evaluated: Path) -> Run:
    status, _, text = (evaluated / "run.txt").read_text(encoding="utf-8").partition("\n")
    assert status == "0", text
    return Run(int(status), text)


def test_nothing_is_trained_and_only_what_is_scored_is_converted(run):
    jobs = jobs_in(run.text)
    assert {job.rule for job in jobs if job.rule.startswith(("fit", "import"))} == {
        "import_savi",
        "import_predictor",
    }
    assert Job("import_savi", f"{CHAIN}/savi.pt") in jobs
    for kind in KINDS:
        assert Job("import_predictor", f"{CHAIN}/{kind}/predictor.pt") in jobs
        assert Job("score_predictor", f"{CHAIN}/{kind}/evaluation/short.json") in jobs
    videos = {job.output for job in jobs if job.rule == "make_videos"}
    assert videos == {"results/obj3d/videos/test.h5"}


def test_the_weights_are_those_of_the_published_files(run, evaluated, tmp_path):
    savi = read_checkpoint(evaluated / CHAIN / "savi.pt", ("savi",))
    by_hand = read_checkpoint(import_case("Obj3D/savi", tmp_path), ("savi",))
    assert savi["weights_digest"] == by_hand["weights_digest"]
    for kind in KINDS:
        predictor = read_checkpoint(evaluated / CHAIN / f"{kind}/predictor.pt", (kind,))
        assert predictor["savi_digest"] == savi["weights_digest"]


def test_the_scores_are_there(run, evaluated):
    for kind in KINDS:
        path = evaluated / CHAIN / f"{kind}/evaluation/short.json"
        scores = json.loads(path.read_text(encoding="utf-8"))
        assert scores["num_videos"] == 3
        assert np.isfinite(scores["metrics"]["psnr"]["mean"])
        assert scores["metrics"]["slot_mse"]["ceiling"] == 0
        assert scores["metrics"]["miou"]["mean"] is None


def test_a_second_run_does_nothing(run, evaluated):
    assert stale_jobs([evaluated / "study.yaml"], evaluated, read=PROJECT) == set()


def test_a_predictor_of_ones_own_is_trained_on_a_pretrained_savi(tmp_path):
    write_obj3d(tmp_path / "OBJ3D", {"train": 2, "val": 1, "test": 1}, num_frames=12)
    training = {"num_context": 5, "num_preds": 5, "num_steps": 2, "num_threads": 1}
    own = {"kind": "lstm", "model": {"hidden_dim": 32}, "training": training}
    run = run_snakemake(
        *("train_predictor", "--cores", "2", "--configfile", study(tmp_path, own=own)),
        folder=tmp_path,
        environment=ENVIRONMENT,
        python=forked.python(),
    )
    assert run.status == 0, run.text
    rules = {job.rule for job in jobs_in(run.text)}
    assert {"import_savi", "encode_slots", "fit_predictor"} <= rules
    assert not {"fit_savi", "import_predictor"} & rules
    savi = read_checkpoint(tmp_path / CHAIN / "savi.pt", ("savi",))
    predictor = read_checkpoint(tmp_path / CHAIN / "own/predictor.pt", ("lstm",))
    assert predictor["savi_digest"] == savi["weights_digest"]


def test_settings_that_the_checkpoint_does_not_have_stop_the_import(tmp_path):
    write_obj3d(tmp_path / "OBJ3D", {"test": 1}, num_frames=12)
    path = study(tmp_path)
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    config["savi"]["published"]["model"] = {"num_slots": 6}
    path.write_text(yaml.dump(config), encoding="utf-8")
    run = run_snakemake(
        *("train_savi", "--cores", "1", "--configfile", path),
        folder=tmp_path,
        environment=ENVIRONMENT,
        python=forked.python(),
    )
    assert run.status == 1
    assert "model.num_slots is 4 in the checkpoint and 6 in the config" in run.text
    assert not (tmp_path / CHAIN / "savi.pt").exists()


def test_a_savi_of_the_study_is_fine_tuned_after_it_was_imported(tmp_path):
    write_obj3d(tmp_path / "OBJ3D", {"train": 2, "val": 1, "test": 1}, num_frames=12)
    path = study(tmp_path)
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    arguments = savi_arguments(params_of("Obj3D/savi"))
    del arguments["resolution"]  # the data set's
    config["savi"]["tuned"] = {
        "start_from": f"{CHAIN}/savi.pt",
        "model": json.loads(json.dumps(arguments)),
        # One step, of rate 0: the weights stay those that it starts from.
        "training": {"num_steps": 1, "batch_size": 2, "clip_length": 2, "num_threads": 1},
    }
    config["study"] = [
        {"datasets": ["obj3d"], "savi": [name], "seeds": [0]} for name in ("published", "tuned")
    ]
    path.write_text(yaml.dump(config), encoding="utf-8")
    arguments = ("train_savi", "--cores", "2", "--configfile", path)
    run = run_snakemake(
        *arguments, folder=tmp_path, environment=ENVIRONMENT, python=forked.python()
    )
    assert run.status == 0, run.text
    tuned = "results/obj3d/tuned/seed0/savi.pt"
    jobs = jobs_in(run.text)
    assert {Job("import_savi", f"{CHAIN}/savi.pt"), Job("fit_savi", tuned)} <= jobs
    digests = {
        read_checkpoint(tmp_path / made, ("savi",))["weights_digest"]
        for made in (tuned, f"{CHAIN}/savi.pt")
    }
    assert len(digests) == 1

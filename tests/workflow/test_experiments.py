"""The published experiments, shrunk, on small data in the true on-disk formats, end to end."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import forked
import h5py
import numpy as np
import pytest
from raw_movi import unpack_movi, write_movi_c
from raw_trees import write_obj3d
from snakemake_runs import PROJECT, copy_project, run_snakemake, stale_jobs

from ocvp.data.videos import VideoFile
from ocvp.evaluation.metrics import MASK_METRICS, PIXEL_METRICS
from ocvp.models.loading import load_predictor, load_savi

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("experiments")]

ONE_THREAD = {"OMP_NUM_THREADS": "1"}
KINDS = ("lstm", "transformer", "ocvp_seq", "ocvp_par")
PROTOCOLS = {
    "obj3d": {"obj3d_5_to_25": ("test", 5), "obj3d_6_to_44": ("val", 8)},
    "movi_a": {"movi_a_6_to_8": ("test", None), "movi_a_6_to_18": ("test", None)},
    "movi_c": {"movi_c_6_to_8": ("test", None), "movi_c_6_to_18": ("test", None)},
}
DATASETS = ["obj3d", "movi_a", "movi_c"]


class Experiment(NamedTuple):
    """The products of a published config; write nothing into their folder."""

    folder: Path
    project: Path


def configs(name: str, project: Path = PROJECT) -> list[Path]:
    """Return a published config and the one file that shrinks it."""
    return [project / f"config/{name}.yaml", project / f"config/small/{name}.yaml"]


@pytest.fixture(scope="module")
def experiment_of(shared_folder: Any) -> Callable[[str], Experiment]:
    """Return a function that runs the config with a data set, once for all test processes.

    Obj3D and MOVi-A are run by config/published.yaml, which holds both.
    """

    def build(folder: Path, name: str) -> None:
        project, work = copy_project(folder / "project"), folder / "work"
        if name == "published":
            write_obj3d(work / "data/OBJ3D", {"train": 6, "val": 3, "test": 3})
            unpack_movi(work / "data/tfds")
        else:
            unpack_movi(folder / "movi_a")
            write_movi_c(work / "data/tfds", folder / "movi_a")
        run = run_snakemake(
            *("--cores", "4", "--configfile", *configs(name, project)),
            folder=work,
            project=project,
            environment={"PYTHONPATH": str(project), **ONE_THREAD},
            python=forked.python(),
        )
        (folder / "run.txt").write_text(f"{run.status}\n{run.text}", encoding="utf-8")

    def experiment(dataset: str) -> Experiment:
        name = "movi_c" if dataset == "movi_c" else "published"
        folder = shared_folder(f"experiment-{name}", lambda folder: build(folder, name))
        status, _, text = (folder / "run.txt").read_text(encoding="utf-8").partition("\n")
        assert status == "0", text
        return Experiment(folder / "work", folder / "project")

    return experiment


def chain(experiment_of: Callable[[str], Experiment], dataset: str) -> Path:
    return experiment_of(dataset).folder / f"results/{dataset}/savi_{dataset}/seed0"


@pytest.mark.parametrize("dataset", DATASETS)
def test_all_models_are_trained_and_load(experiment_of, dataset):
    savi = load_savi(chain(experiment_of, dataset) / "savi.pt")
    assert savi.num_slots == {"obj3d": 6}.get(dataset, 11)
    for kind in KINDS:
        load_predictor(chain(experiment_of, dataset) / f"{kind}_{dataset}/predictor.pt")


@pytest.mark.parametrize("dataset", DATASETS)
def test_every_predictor_is_scored_under_every_protocol(experiment_of, dataset):
    for kind in KINDS:
        for protocol, (split, num_preds) in PROTOCOLS[dataset].items():
            path = chain(experiment_of, dataset) / f"{kind}_{dataset}/evaluation/{protocol}.json"
            scores = json.loads(path.read_text(encoding="utf-8"))
            assert scores["protocol"]["split"] == split
            assert num_preds in (None, scores["protocol"]["num_preds"])
            for metric in ("psnr", "ssim", "slot_mse"):
                values = scores["metrics"][metric]
                assert len(values["per_frame"]) == scores["protocol"]["num_preds"]
                assert np.isfinite(values["mean"])


def test_without_masks_their_metrics_are_null_with_a_reason(experiment_of):
    scores = json.loads((chain(experiment_of, "obj3d") / "evaluation.json").read_text("utf-8"))
    for metric in MASK_METRICS:
        assert scores["metrics"][metric]["mean"] is None
        assert "mask" in scores["metrics"][metric]["reason"]
    assert scores["metrics"]["psnr"]["mean"] > 0


@pytest.mark.parametrize("dataset", ["movi_a", "movi_c"])
def test_movis_masks_are_scored(experiment_of, dataset):
    scores = json.loads((chain(experiment_of, dataset) / "evaluation.json").read_text("utf-8"))
    for metric in MASK_METRICS:
        assert -1 <= scores["metrics"][metric]["mean"] <= 1
    assert set(PIXEL_METRICS) <= scores["metrics"].keys()


@pytest.mark.parametrize("dataset", DATASETS)
def test_figures_are_drawn_with_and_without_masks(experiment_of, dataset):
    folder = chain(experiment_of, dataset)
    assert (folder / "figures/slots.png").stat().st_size > 0
    for kind in KINDS:
        pictures = list((folder / f"{kind}_{dataset}/figures").glob("*.png"))
        shown = ("video0", "best", "median", "worst")
        assert len(pictures) == len(shown) * len(PROTOCOLS[dataset])


def test_the_tables_hold_both_data_sets(experiment_of):
    with (experiment_of("obj3d").folder / "results/summary.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["dataset"] for row in rows} == {"obj3d", "movi_a"}
    assert {row["protocol"] for row in rows if row["dataset"] == "obj3d"} >= {
        "obj3d_5_to_25",
        "obj3d_6_to_44",
    }
    assert not any(row["protocol"].startswith("movi") for row in rows if row["dataset"] == "obj3d")


@pytest.mark.parametrize("name", ["obj3d", "movi_a"])
def test_a_config_of_one_data_set_shares_all_but_the_tables(experiment_of, name):
    folder, project = experiment_of(name)
    stale = stale_jobs(configs(name, project), folder, project)
    assert {job.rule for job in stale} == {"summarize", "collect_training_time", "make_page"}


def test_the_config_of_one_data_set_runs_by_itself(experiment_of, tmp_path):
    # A new folder, and as far as the first predictor: the rest is the run above, entry by entry.
    name = "obj3d"
    (tmp_path / "data").symlink_to(experiment_of(name).folder / "data")
    run = run_snakemake(
        *("--cores", "2", "--configfile", *configs(name), "--"),
        f"results/{name}/savi_{name}/seed0/lstm_{name}/predictor.pt",
        folder=tmp_path,
        environment=ONE_THREAD,
        python=forked.python(),
    )
    assert run.status == 0, run.text


def test_slots_run_over_all_stored_frames(experiment_of):
    with h5py.File(chain(experiment_of, "obj3d") / "slots/test.h5") as file:
        assert file["slots"].shape[:2] == (3, 12)


def test_movis_validation_videos_are_divided(experiment_of):
    videos = {}
    for split in ("val", "test"):
        with VideoFile(
            experiment_of("movi_a").folder / f"results/movi_a/videos/{split}.h5"
        ) as file:
            videos[split] = file.names
    assert videos == {"val": ["4096"], "test": ["2750"]}

"""The whole workflow on tests/helpers/tiny.yaml: every product, read as its users read it."""

import csv
import json
import math
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
import yaml
from conftest import TINY, FinishedStudy
from PIL import Image
from snakemake_runs import PROJECT, jobs_in, run_snakemake, stale_jobs

from ocvp.config.predictors import PredictorStage
from ocvp.config.savi import SaviStage
from ocvp.config.section import SPLITS, canonical_json, validate
from ocvp.evaluation.intervals import TOO_FEW
from ocvp.models.checkpoint import read_checkpoint, weights_digest
from ocvp.models.loading import load_predictor, load_savi
from ocvp.models.rollout import rollout

pytestmark = pytest.mark.xdist_group("finished-study")

PREDICTORS = ("lstm", "transformer", "ocvp_seq", "ocvp_par")
PROTOCOLS = {"short": ("test", 3, 3), "validation": ("val", 2, 5)}
NUM_VIDEOS = {"train": 6, "val": 3, "test": 4}
NUM_FRAMES, SIDE, NUM_OBJECTS, NUM_SLOTS, SLOT_DIM = 8, 16, 3, 4, 16
PIXEL_METRICS = {"psnr", "ssim", "lpips_alex", "lpips_vgg"}
CLIP_METRICS = {"fg_ari_clip", "tracks_kept", "id_switches"}
MASK_METRICS = CLIP_METRICS | {"fg_ari_frame", "ari", "miou", "mbo"}
CONTACT_METRICS = {"centre_error_after_contact", "centre_error_without_contact"}
TRACKING_METRICS = {"centre_error"} | CONTACT_METRICS
PREDICTOR_METRICS = PIXEL_METRICS | MASK_METRICS | {"slot_mse"} | TRACKING_METRICS
BASELINES = {
    "copy_last_frame",
    "copy_last_slots",
    "constant_velocity",
    "object_constant_velocity",
    "ceiling",
}


@pytest.fixture(scope="module")
def results(finished_study: FinishedStudy) -> Path:
    return finished_study.folder / "results"


@pytest.fixture(scope="module")
def chain(results: Path) -> Path:
    return results / "tiny" / "small" / "seed1"


def read_json(path: Path) -> Any:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{path} holds {constant}, which is no JSON")

    return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)


def test_each_rule_ran_as_often_as_the_study_asks(finished_study):
    jobs = jobs_in(finished_study.run.text)
    counts: dict[str, int] = {}
    for job in jobs:
        counts[job.rule] = counts.get(job.rule, 0) + 1
    assert counts == {
        "make_chunk": 4,  # two for the six training videos
        "make_videos": 3,
        "fit_savi": 1,
        "score_savi": 1,
        "encode_chunk": 2,  # the same for their slots
        "encode_slots": 3,
        "fit_predictor": 4,
        "score_predictor": 8,
        "draw_slots": 1,
        "draw_rollouts": 8,
        "draw_comparisons": 2,
        "draw_curves": 2,
        "make_page": 1,
        "summarize": 1,
        "collect_training_time": 1,
    }


def test_the_plan_is_told_before_it_starts(finished_study):
    assert "This run: 43 jobs (" in finished_study.run.text
    before_the_first_job, _, _ = finished_study.run.text.partition("rule make_chunk")
    assert "Disk: about" in before_the_first_job


# --- data and slots -----------------------------------------------------------------------------


@pytest.mark.parametrize("split", SPLITS)
def test_videos(results, split):
    with h5py.File(results / "tiny" / "videos" / f"{split}.h5") as file:
        shape = (NUM_VIDEOS[split], NUM_FRAMES)
        assert file["frames"].shape == (*shape, SIDE, SIDE, 3)
        assert file["frames"].dtype == np.uint8
        assert file["frames"].chunks == (1, NUM_FRAMES, SIDE, SIDE, 3)
        assert file["frames"][:].std() > 5
        assert file["masks"].shape == (*shape, SIDE, SIDE)
        assert file["masks"].dtype == np.uint8
        assert set(np.unique(file["masks"])) == {0, 1, 2, 3}
        assert file["boxes"].shape == (*shape, NUM_OBJECTS, 4)
        boxes = file["boxes"][:]
        assert (((boxes >= 0) & (boxes <= 1)) | (boxes == -1)).all()
        assert file["flow"].shape == (*shape, SIDE, SIDE, 2)
        assert file["depth"].shape == (*shape, SIDE, SIDE)
        assert len({name.decode() for name in file["names"]}) == NUM_VIDEOS[split]
        assert {"dataset", "split", "fps", "format_version", "source", "config"} <= set(file.attrs)
        assert (file.attrs["dataset"], file.attrs["split"]) == (b"tiny", split.encode())


def test_parts_of_videos_are_not_kept(results):
    assert not list(results.rglob("chunk*.h5"))


@pytest.mark.parametrize("split", SPLITS)
def test_slots_are_those_of_the_savi(results, chain, split):
    savi = load_savi(chain / "savi.pt")
    with h5py.File(chain / "slots" / f"{split}.h5") as file:
        slots = torch.from_numpy(file["slots"][:])
        assert file.attrs["weights_digest"].decode() == weights_digest(savi.state_dict())
    with h5py.File(results / "tiny" / "videos" / f"{split}.h5") as file:
        frames = torch.from_numpy(file["frames"][:]).movedim(-1, 2) / 255
        boxes = torch.from_numpy(file["boxes"][:])
    assert slots.shape == (NUM_VIDEOS[split], NUM_FRAMES, NUM_SLOTS, SLOT_DIM)
    with torch.no_grad():
        expected = savi.encode(frames, boxes=boxes)
    torch.testing.assert_close(slots, expected, rtol=1e-4, atol=1e-5)


# --- models -------------------------------------------------------------------------------------


def test_the_savi_loads_and_decomposes(chain):
    savi = load_savi(chain / "savi.pt", device="cpu")
    assert not savi.training
    with torch.no_grad():
        out = savi(torch.rand(2, 3, 3, SIDE, SIDE), boxes=torch.rand(2, NUM_OBJECTS, 4))
    assert out.slots.shape == (2, 3, NUM_SLOTS, SLOT_DIM)
    assert out.reconstruction.shape == (2, 3, 3, SIDE, SIDE)
    assert out.objects.shape == (2, 3, NUM_SLOTS, 3, SIDE, SIDE)
    assert out.masks.shape == (2, 3, NUM_SLOTS, 1, SIDE, SIDE)
    torch.testing.assert_close(out.masks.sum(dim=2), torch.ones(2, 3, 1, SIDE, SIDE))


@pytest.mark.parametrize("name", PREDICTORS)
def test_predictors_load_and_roll_out(chain, name):
    predictor = load_predictor(chain / name / "predictor.pt")
    assert not predictor.training
    with torch.no_grad():
        predicted = rollout(predictor, torch.randn(2, 3, NUM_SLOTS, SLOT_DIM), 4)
    assert predicted.shape == (2, 4, NUM_SLOTS, SLOT_DIM)
    assert predicted.isfinite().all()


@pytest.mark.parametrize("name", ["savi", *PREDICTORS])
def test_checkpoints_say_what_they_are(chain, name):
    folder, stem = (chain, "savi") if name == "savi" else (chain / name, "predictor")
    study = yaml.safe_load(TINY.read_text(encoding="utf-8"))
    last = read_checkpoint(folder / f"{stem}.pt", kinds=(name,))
    best = read_checkpoint(folder / f"{stem}.best.pt", kinds=(name,))
    steps = 6 if name == "savi" else 4
    assert last["step"] == steps  # `select: last` is the default
    assert 0 < best["step"] <= steps
    assert best["metrics"]["loss"] <= last["metrics"]["loss"]
    assert last["weights_digest"] == weights_digest(last["weights"])
    if name == "savi":
        entry = {key: study["savi"]["small"][key] for key in ("model", "training")}
        stage = validate(SaviStage, entry)
    else:
        stage = validate(PredictorStage, study["predictors"][name])
    for found in (last["config"], read_json(folder / "config.json")):
        assert canonical_json(found) == canonical_json(stage)


def test_trainings_leave_what_they_resume_from_and_their_curves(chain):
    for folder in (chain, *(chain / name for name in PREDICTORS)):
        assert (folder / "resume" / "fingerprint.json").is_file()
        assert list((folder / "tensorboard").glob("events.out.tfevents.*"))


# --- scores -------------------------------------------------------------------------------------


def finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def test_scores_of_the_savi(chain):
    scores = read_json(chain / "evaluation.json")
    assert (scores["split"], scores["num_frames"], scores["num_videos"]) == ("test", 6, 4)
    assert scores["metrics"].keys() == PIXEL_METRICS | MASK_METRICS
    for name, entry in scores["metrics"].items():
        if entry["mean"] is None:
            assert name.startswith("lpips")
            assert entry["reason"]
            continue
        assert finite(entry["mean"])
        if name in CLIP_METRICS:
            assert entry["per_frame"] is None
        else:
            assert len(entry["per_frame"]) == 6
        if name in MASK_METRICS:
            assert finite(entry["kmeans_colour"])
            assert finite(entry["held_boxes"])


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", PREDICTORS)
def test_scores_of_predictors(chain, name, protocol):
    split, num_context, num_preds = PROTOCOLS[protocol]
    scores = read_json(chain / name / "evaluation" / f"{protocol}.json")
    window = {key: scores["protocol"][key] for key in ("split", "num_context", "num_preds")}
    assert window == {"split": split, "num_context": num_context, "num_preds": num_preds}
    assert scores["num_videos"] == NUM_VIDEOS[split]
    checkpoint = read_checkpoint(chain / name / "predictor.pt", kinds=(name,))
    assert scores["digests"]["predictor"] == checkpoint["weights_digest"]
    assert scores["digests"]["savi"] == checkpoint["savi_digest"]
    assert scores["metrics"].keys() == PREDICTOR_METRICS
    for metric, entry in scores["metrics"].items():
        assert entry.keys() >= {"mean", "per_frame", *BASELINES}
        if entry["mean"] is None:
            assert metric.startswith("lpips") or metric in CONTACT_METRICS
            assert entry["reason"]
            continue
        assert finite(entry["mean"])
        if entry["per_frame"] is not None:
            assert len(entry["per_frame"]) == num_preds
            # there may be no contact yet, or each object may have had one
            assert metric in CONTACT_METRICS or all(map(finite, entry["per_frame"]))
        for baseline in ("copy_last_slots", "constant_velocity", "ceiling"):
            assert finite(entry[baseline])
        assert finite(entry["copy_last_frame"]) == (metric in PIXEL_METRICS)
        assert finite(entry["object_constant_velocity"]) == (metric in TRACKING_METRICS)
    assert scores["metrics"]["slot_mse"]["ceiling"] == 0


def test_summary(results, chain):
    with (results / "summary.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    columns = (
        "dataset,savi,predictor,seed,protocol,split,metric,value,copy_last_frame,copy_last_slots,"
        "constant_velocity,object_constant_velocity,ceiling,is_best,reason"
    )
    assert list(rows[0]) == columns.split(",")
    predicted = {
        (row["predictor"], row["protocol"], row["metric"]): row for row in rows if row["predictor"]
    }
    assert len(predicted) == sum(bool(row["predictor"]) for row in rows)
    assert predicted.keys() == {
        (name, protocol, metric)
        for name in PREDICTORS
        for protocol in PROTOCOLS
        for metric in PREDICTOR_METRICS
    }
    for (name, protocol, metric), row in predicted.items():
        place = (row["dataset"], row["savi"], row["seed"], row["split"])
        assert place == ("tiny", "small", "1", PROTOCOLS[protocol][0])
        scores = read_json(chain / name / "evaluation" / f"{protocol}.json")["metrics"][metric]
        for column, key in {"value": "mean"}.items() | {(b, b) for b in BASELINES}:
            expected = scores[key]
            assert row[column] == "" if expected is None else float(row[column]) == expected
    alone = {row["metric"] for row in rows if not row["predictor"] and row["savi"] == "small"}
    assert alone == PIXEL_METRICS | MASK_METRICS
    naive = {row["savi"] for row in rows if not row["predictor"]} - {"small"}
    assert naive == {"kmeans_colour", "held_boxes"}


def test_comparisons(results):
    with (results / "comparisons.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    found = {(row["predictor"], row["protocol"], row["metric"]) for row in rows}
    assert {(name, protocol) for name, protocol, _ in found} == {
        (name, protocol) for name in PREDICTORS for protocol in PROTOCOLS
    }
    # after contacts, too, if any object met another one
    always = {metric for _, _, metric in found if "contact" not in metric}
    assert always == {"centre_error", "slot_mse", "miou"}
    for row in rows:
        assert math.isfinite(float(row["gain_mean"]))
        # four videos at most, too few for intervals
        assert row["gain_low"] == row["gain_high"] == row["gap_closed"] == ""
        assert row["reason"] == TOO_FEW


# --- figures and the report ---------------------------------------------------------------------


def picture_size(path: Path) -> tuple[int, int]:
    with Image.open(path) as picture:
        picture.load()
        colours = picture.convert("RGB").getcolors(maxcolors=1 << 24)
        assert colours is not None
        assert len(colours) > 10, f"{path} is empty"
        return picture.size


def test_pictures_of_a_chain(chain):
    for name in ("slots", *(f"{protocol}_curves" for protocol in PROTOCOLS)):
        width, height = picture_size(chain / "figures" / f"{name}.png")
        assert width > 100
        assert height > 100


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", PREDICTORS)
def test_rollouts_are_drawn(chain, name, protocol):
    _, num_context, num_preds = PROTOCOLS[protocol]
    for video in range(2):
        path = chain / name / "figures" / f"{protocol}_video{video}.png"
        width, _ = picture_size(path)
        assert width > (num_context + num_preds) * SIDE * 2  # `upscale` pixels for each
        with Image.open(path.with_suffix(".gif")) as animation:
            assert animation.n_frames == num_context + num_preds
            for frame in range(animation.n_frames):
                animation.seek(frame)
                animation.load()


def test_snakemake_makes_its_report(finished_study, tmp_path):
    report = tmp_path / "report.html"
    folder = copied_study(finished_study, tmp_path)
    run = run_snakemake(
        *("--configfile", TINY, "--report", report), folder=folder, project=finished_study.project
    )
    assert run.status == 0, run.text
    text = report.read_text(encoding="utf-8")
    results, categories = written_in(text, "results"), written_in(text, "categories")
    place = {
        path: f"{category}/{below}"
        for category, parts in categories.items()
        for below, paths in parts.items()
        for path in paths
    }
    shown = {path: (place[path], *sorted(results[path]["labels"].items())) for path in results}
    # Whatever is drawn is in it (a film is its GIF), and nothing has another's place.
    drawn = {
        str(path.relative_to(folder))
        for path in (folder / "results").rglob("figures/*")
        if path.suffix in (".png", ".gif")
    }
    assert len(drawn) == 1 + 2 + (2 * 5) * 3 + (2 * 4 * 5) * 2
    tables = {f"results/{name}.csv" for name in ("summary", "comparisons", "training_time")}
    assert set(shown) == drawn | tables | {"results/studies/tiny/rollouts.html"}
    assert len(set(shown.values())) == len(shown)
    # The start page: the method, and the scores that the table holds.
    start = written_in(text, "workflow_desc")
    assert "<strong>Decomposition.</strong>" in start
    with (folder / "results/summary.csv").open(encoding="utf-8") as file:
        (miou,) = (
            float(row["value"])
            for row in csv.DictReader(file)
            if (row["predictor"], row["protocol"], row["metric"]) == ("ocvp_seq", "short", "miou")
        )
    _, _, under_short = start.partition("tiny, small, seed 1, short")
    row, _, _ = under_short.partition("<td>ocvp_seq</td>")[2].partition("</tr>")
    assert f"<td>{miou:.3f}</td>" in row


def written_in(report: str, variable: str) -> Any:
    """Return the value of a variable of the report's script."""
    start = re.search(rf'var {variable} = (?=[{{"])', report)
    assert start, variable
    value, _ = json.JSONDecoder().raw_decode(report, start.end())
    return value


# --- what accompanies products ------------------------------------------------------------------


def products(run_text: str) -> Iterator[tuple[str, str]]:
    """Yield the rule and the first product of each job."""
    for job in jobs_in(run_text):
        yield job.rule, job.output


def test_logs_and_benchmarks_mirror_the_tree(finished_study):
    for rule, product in products(finished_study.run.text):
        folder = finished_study.folder / "logs" / product
        assert (folder / f"{rule}.log").is_file(), folder
        seconds = (folder / f"{rule}.tsv").read_text(encoding="utf-8").splitlines()[1].split()[0]
        assert float(seconds) >= 0


def test_the_config_and_the_command_lie_beside_products(finished_study):
    for rule, product in products(finished_study.run.text):
        path = finished_study.folder / product
        if rule in ("make_chunk", "encode_chunk") or path.suffix == ".csv":
            continue
        prefix = "" if path.suffix == ".pt" else f"{path.stem}."
        config = read_json(path.with_name(f"{prefix}config.json"))
        assert config
        command = path.with_name(f"{prefix}command.sh").read_text(encoding="utf-8")
        assert f" {product} " in command


def copied_study(finished_study: FinishedStudy, tmp_path: Path) -> Path:
    """Return a copy of the finished folder, which may be changed."""
    return Path(shutil.copytree(finished_study.folder, tmp_path / "copy"))


def test_the_command_makes_its_product_again(finished_study, tmp_path):
    folder = copied_study(finished_study, tmp_path)
    product = folder / "results/tiny/small/seed1/ocvp_par/predictor.pt"
    before = read_checkpoint(product, kinds=("ocvp_par",))["weights_digest"]
    product.unlink()
    shutil.rmtree(product.parent / "resume")
    environment = {
        **os.environ,
        **finished_study.environment,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    done = subprocess.run(
        ["sh", "results/tiny/small/seed1/ocvp_par/command.sh"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert read_checkpoint(product, kinds=("ocvp_par",))["weights_digest"] == before


# --- Snakemake itself ---------------------------------------------------------------------------


def test_a_second_run_does_nothing(finished_study, tmp_path):
    project = finished_study.project
    assert stale_jobs([TINY], finished_study.folder, project, read=project) == set()
    run = run_snakemake(
        *("--cores", "1", "--configfile", TINY),
        folder=copied_study(finished_study, tmp_path),
        project=project,
        read=project,
    )
    assert run.status == 0, run.text
    assert "Nothing to be done" in run.text
    assert "This run:" not in run.text


TARGETS = (
    "prepare_data",
    "train_savi",
    "evaluate_savi",
    "extract_slots",
    "train_predictor",
    "evaluate_predictor",
    "figures",
    "summarize",
    "all",
)


@pytest.mark.parametrize("target", TARGETS)
def test_targets_of_the_design_can_be_asked_for(target, tmp_path):
    run = run_snakemake("--dry-run", target, "--configfile", TINY, folder=tmp_path, read=PROJECT)
    assert run.status == 0, run.text
    assert jobs_in(run.text)


def test_snakemake_lint_is_clean(tmp_path):
    run = run_snakemake("--lint", folder=tmp_path)
    assert run.status == 0, run.text
    assert "your workflow is in a good condition" in run.text


def test_snakefmt_is_clean():
    # snakefmt calls shfmt, which lies beside the interpreter.
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["snakefmt", "--check", "Snakefile", "workflow"],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr

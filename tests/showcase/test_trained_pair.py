"""The pair that ships in models/: it loads, fits, scores as it says, and can be made again."""

import json
import os
import re
from pathlib import Path

import h5py
import numpy as np
import pytest
import trained_pair
import yaml
from PIL import Image
from scipy.optimize import linear_sum_assignment
from snakemake.common.configfile import load_configfile
from snakemake.utils import update_config
from tiny import assert_one_error, call, write_predictor, write_savi, write_videos

from ocvp import evaluate_predictor, extract_slots, import_checkpoint, predict
from ocvp.config.whole import read_config
from ocvp.models.checkpoint import read_checkpoint
from ocvp.records.chain import chain_of, walk
from ocvp.study.chains import chains

PROJECT = Path(__file__).parents[2]
MODELS = PROJECT / "models"
CPU = {"device": "cpu"}
PSNR_TOLERANCE, MIOU_TOLERANCE = 0.3, 0.03
"""dB, and a share: other processors round otherwise, and errors grow over a rollout."""


def pictures(folder):
    return np.stack([np.array(Image.open(path)) for path in sorted(folder.glob("*.png"))])


def psnr(predicted, truth):
    """Return the mean over frames (T, H, W, 3), uint8."""
    squared = ((predicted / 255.0 - truth / 255.0) ** 2).mean(axis=(1, 2, 3))
    return float(np.mean(-10 * np.log10(squared)))


def miou(segments, truth):
    """Return the mean over frames (T, H, W), of objects with a segment each."""
    values = []
    for found, labels in zip(segments, truth, strict=True):
        objects = sorted(set(labels.ravel()) - {0})
        overlaps = [
            [
                np.sum((labels == k) & (found == n)) / np.sum((labels == k) | (found == n))
                for n in range(segments.max() + 1)
            ]
            for k in objects
        ]
        rows, columns = linear_sum_assignment(overlaps, maximize=True)
        values.append(np.array(overlaps)[rows, columns].sum() / len(objects))
    return float(np.mean(values))


def predicted(models, folder):
    """Run what models/README.md says, and return what it wrote and scores beside the truth."""
    stated = json.loads((models / "scores.json").read_text())
    files = {"video": "film", "savi": "savi.pt", "predictor": "predictor.pt"}
    words = [word for name, file in files.items() for word in (f"--{name}", models / file)]
    lengths = ["--num-context", stated["num_context"], "--num-preds", stated["num_preds"]]
    quick = ["--config", {"upscale": 1}, "--runtime", CPU]
    assert call(predict.main, *words, *lengths, *quick, "--output", folder) == 0
    with h5py.File(folder / "prediction.h5") as file:
        frames, masks = file["predicted_frames"][:], file["predicted_masks"][:]
    future = slice(stated["num_context"], stated["num_context"] + stated["num_preds"])
    truth = {name: pictures(models / name)[future] for name in ("film", "masks")}
    segments = masks.reshape(len(masks), masks.shape[1], *truth["masks"].shape[1:]).argmax(axis=1)
    return stated, psnr(frames, truth["film"]), miou(segments, truth["masks"])


# --- the pair that is shipped -------------------------------------------------------------------


def test_the_film_is_predicted_as_well_as_it_says(tmp_path):
    stated, own_psnr, own_miou = predicted(MODELS, tmp_path)
    assert own_psnr == pytest.approx(stated["film"]["psnr"], abs=PSNR_TOLERANCE)
    assert own_miou == pytest.approx(stated["film"]["miou"], abs=MIOU_TOLERANCE)
    page = (MODELS / "README.md").read_text(encoding="utf-8")
    assert f"| this film | {stated['film']['psnr']:.2f} |" in page
    with Image.open(tmp_path / "rollout.gif") as animation:
        assert animation.n_frames == stated["num_context"] + stated["num_preds"]


def test_the_command_of_the_pages_is_one():
    """As the README and models/README.md have it, with files that are there."""
    texts = [(PROJECT / name).read_text() for name in ("README.md", "models/README.md")]
    found = [re.findall(r"python -m ocvp\.predict .*?--output out$", t, re.M | re.S) for t in texts]
    (first,), (second,) = found
    assert first == second
    named = re.findall(r"models/\S+", first)
    assert [path for path in named if not (PROJECT / path).exists()] == []


def test_it_is_small_and_names_no_machine_and_no_folder():
    files = [path for path in MODELS.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 3e6
    for name in ("savi", "predictor"):
        record = json.loads((MODELS / f"{name}.provenance.json").read_text())
        assert "host" not in record
        assert all("/" not in entry["path"] for entry in record["inputs"])
        content = read_checkpoint(MODELS / f"{name}.pt")
        assert "host" not in content
        told = json.dumps(record) + repr({k: v for k, v in content.items() if k != "weights"})
        assert not re.findall(r"/(?:home|root|work|tmp|Users)\b", told)
        assert not [node.fault for node in walk(chain_of(MODELS / f"{name}.pt")) if node.fault]


def test_a_study_takes_it_as_pretrained(tmp_path):
    page = (MODELS / "README.md").read_text(encoding="utf-8")
    (override,) = re.findall(r"```yaml\n(.*?)```", page, re.S)
    whole = load_configfile(str(PROJECT / "config" / "config.yaml"))
    update_config(whole, yaml.safe_load(override))
    config = read_config(whole)
    assert [chain[:3] for chain in chains(config)] == [("tabletop", "shipped", 0)]
    savi, predictor = config.savi["shipped"], config.predictors["ocvp_seq_shipped"]
    given = {name: PROJECT / entry.pretrained for name, entry in (("savi", savi), ("p", predictor))}
    output = tmp_path / "savi" / "savi.pt"
    imports = [["--checkpoint", given["savi"], "--output", output]]
    imports += [["--checkpoint", given["p"], "--savi", output, "--output", tmp_path / "p/p.pt"]]
    assert [call(import_checkpoint.main, *words) for words in imports] == [0, 0]


# --- making it ----------------------------------------------------------------------------------


@pytest.fixture
def results(tmp_path):
    """Return what a demo of small models that were not trained leaves."""
    folder = tmp_path / "results"
    videos = write_videos(folder / "tabletop/videos/test.h5", fields=("frames", "masks"))
    chain = folder / "tabletop/savi/seed0"
    (chain / "ocvp_seq/evaluation").mkdir(parents=True)
    savi = write_savi(chain / "savi.pt", initializer="learned")  # no noise that differs
    predictor = write_predictor(chain / "ocvp_seq/predictor.pt", savi, kind="ocvp_seq")
    slots = chain / "slots/test.h5"
    words = ["--savi", savi, "--videos", videos, "--runtime", CPU]
    assert call(extract_slots.main, *words, "--output", slots) == 0
    scores = chain / "ocvp_seq/evaluation/long.json"
    protocol = {"protocol": {"num_context": 3, "num_preds": 4}, "num_threads": 1}
    words += ["--predictor", predictor, "--slots", slots, "--output", scores]
    assert call(evaluate_predictor.main, *words, "--config", protocol) == 0
    template = json.loads((MODELS / "savi.provenance.json").read_text())
    for path in (savi, predictor):
        record = template | {"host": "secret", "products": {path.name: "x", "other.pt": "y"}}
        record["inputs"] = [{"role": "train", "path": "../../secret/train.h5", "digest": "z"}]
        (path.parent / "provenance.json").write_text(json.dumps(record))
    return folder


def test_the_pair_is_made_of_a_demo_and_scores_the_same(results, tmp_path):
    models = tmp_path / "models"
    assert call(trained_pair.main, results, "--output", models) == 0
    stated, own_psnr, own_miou = predicted(models, tmp_path / "out")
    assert own_psnr == pytest.approx(stated["film"]["psnr"], abs=1e-2)  # frames of 8 bits
    assert own_miou == pytest.approx(stated["film"]["miou"], abs=1e-6)
    # the one in the middle of five
    path = results / "tabletop/savi/seed0/ocvp_seq/evaluation/long.json"
    values = json.loads(path.read_text())["per_video"]["miou"]
    assert values[stated["video"]] == np.median(values)
    text = "".join(path.read_text() for path in models.glob("*.*") if path.suffix != ".pt")
    assert "secret" not in text
    assert "other.pt" not in text


def test_scores_of_another_model_are_refused_before_anything_is_written(results, tmp_path, capsys):
    path = results / "tabletop/savi/seed0/ocvp_seq/predictor.pt"
    write_predictor(path, results / "tabletop/savi/seed0/savi.pt", kind="ocvp_seq", seed=1)
    models = tmp_path / "models"
    assert call(trained_pair.main, results, "--output", models) == 1
    assert_one_error(capsys.readouterr().err, "long.json", "another model than", path)
    assert not os.path.lexists(models)

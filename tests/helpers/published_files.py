"""The published files of tests/files/reference, and variants of them."""

import json
from pathlib import Path

import numpy as np
import torch
from tiny import call

from ocvp.import_checkpoint import main as import_checkpoint

REFERENCE = Path(__file__).parents[1] / "files" / "reference"
DATASETS = ["Obj3D", "MOViA"]
PREDICTORS = ["LSTM", "Transformer", "OCVPSeq", "OCVPPar"]
MODELS = ["savi", *(f"predictor_{name}" for name in PREDICTORS)]
CASES = [f"{dataset}/{model}" for dataset in DATASETS for model in MODELS]


def checkpoint_of(case):
    """Return the path of a published checkpoint, for example of `Obj3D/savi`."""
    (path,) = (REFERENCE / case / "models").glob("*.pth")
    return path


def params_of(case):
    """Return the content of its parameter file."""
    return json.loads((REFERENCE / case / "experiment_params.json").read_text(encoding="utf-8"))


def arrays_of(case):
    """Return what the published implementation was given and gave."""
    return dict(np.load(REFERENCE / case / "io.npz"))


def import_case(case, folder):
    """Import a published checkpoint with the program, and return the file of ours."""
    arguments = []
    if not case.endswith("savi"):
        arguments = ["--savi", import_case(case.partition("/")[0] + "/savi", folder)]
    output = folder / case / ("predictor.pt" if arguments else "savi.pt")
    if not output.exists():
        given = ["--checkpoint", checkpoint_of(case), "--output", output]
        assert call(import_checkpoint, *given, *arguments) == 0
    return output


def write_experiment(folder, case, *, state=None, params=None, **entries):
    """Write a changed copy of a published experiment, and return its checkpoint.

    Args:
        folder: Where the folder of the experiment goes.
        case: What is copied, for example `Obj3D/savi`.
        state: Changes the dict of weights in place; None: no change.
        params: Changes the parameters in place; None: no change.
        entries: Further entries of the checkpoint.
    """
    content = read_unsafely(checkpoint_of(case)) | entries
    settings = params_of(case)
    if state:
        state(content["model_state_dict"])
    if params:
        params(settings)
    path = folder / "models" / "checkpoint_epoch_final.pth"
    path.parent.mkdir(parents=True, exist_ok=True)
    (folder / "experiment_params.json").write_text(json.dumps(settings), encoding="utf-8")
    torch.save(content, path)
    return path


def read_unsafely(path):
    """Read one of the reference files; the warm-up object is left out."""
    from ocvp.published.checkpoints import read_checkpoint

    content = read_checkpoint(path)
    content.pop("lr_warmup")
    return content

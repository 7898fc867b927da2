"""Train a slot predictor on the cached slots of one SAVi.

Running the same command again goes on from where an interrupted run was last saved.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from ocvp.config.predictors import PredictorStage
from ocvp.models.loading import open_savi
from ocvp.models.predictors import PREDICTORS
from ocvp.runtime.program import add_training_options, run, stage_parser
from ocvp.training.predictor_task import PredictorTask
from ocvp.training.run import Subject, initialised, run_training
from ocvp.training.session import Session, add_output, start_session

PROGRAM = "ocvp.train_predictor"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program (see the module's description)."""
    args = _parse(argv)
    session = start_session("fit_predictor", PredictorStage, args, argv)
    return run_training(session, _load)


def _load(session: Session, device: torch.device) -> Subject:
    """Load the SAVi, and build the predictor for its slots."""
    args, stage = session.args, session.stage
    checkpoint = open_savi(args.savi)
    savi, digest = checkpoint.build(device), checkpoint.digest
    model = {**stage.model.model_dump(), "slot_dim": savi.slot_dim}
    module_class = PREDICTORS[stage.kind]
    predictor, start = initialised(module_class, stage.kind, model, session, device)
    data = {"savi_digest": digest, "train": args.train, "validation": args.val}
    task = PredictorTask(predictor, savi, stage.training, session.runtime, **data, seed=args.seed)
    inputs = {"savi": args.savi, "train": args.train, "val": args.val}
    return Subject(
        task, stage.kind, model, inputs, start, {"savi_digest": digest}, {args.savi: digest}
    )


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = stage_parser(__doc__, PROGRAM, config_help="an entry of `predictors`")
    files = parser.add_argument_group("files")
    files.add_argument("--savi", type=Path, required=True, help="checkpoint of the SAVi (savi.pt)")
    for split, verb in (("train", "train"), ("val", "validate")):
        files.add_argument(
            f"--{split}",
            type=Path,
            nargs=2,
            metavar=("VIDEOS", "SLOTS"),
            required=True,
            help=f"videos to {verb} on, and their slots (HDF5)",
        )
    add_output(files, "predictor.pt")
    add_training_options(parser)
    return parser.parse_args(argv)


if __name__ == "__main__":
    run(main)

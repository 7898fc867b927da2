"""Train a SAVi: decompose videos into slots, by reconstructing their frames.

Running the same command again goes on from where an interrupted run was last saved.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from ocvp.config.savi import SaviStage
from ocvp.data.videos import VideoFile
from ocvp.models.savi import SAVi
from ocvp.runtime.program import add_training_options, run, stage_parser
from ocvp.training.run import Subject, initialised, run_training
from ocvp.training.savi_task import SaviTask
from ocvp.training.session import Session, add_output, start_session

PROGRAM = "ocvp.train_savi"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program (see the module's description)."""
    args = _parse(argv)
    session = start_session("fit_savi", SaviStage, args, argv)
    return run_training(session, _load)


def _load(session: Session, device: torch.device) -> Subject:
    """Build the SAVi for the videos that it is trained on."""
    args, stage = session.args, session.stage
    with VideoFile(args.train) as videos:
        model = {**stage.model.model_dump(), "resolution": (videos.height, videos.width)}
    model["targets"] = list(stage.training.target.weights)
    savi, start = initialised(SAVi, "savi", model, session, device)
    data = {"train": args.train, "validation": args.val}
    task = SaviTask(savi, stage.training, session.runtime, **data, seed=args.seed)
    return Subject(task, "savi", model, {"train": args.train, "val": args.val}, start)


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = stage_parser(
        __doc__, PROGRAM, config_help="`model` and `training` of an entry of `savi`"
    )
    files = parser.add_argument_group("files")
    files.add_argument("--train", type=Path, required=True, help="videos to train on (HDF5)")
    files.add_argument("--val", type=Path, required=True, help="videos to validate on (HDF5)")
    add_output(files, "savi.pt")
    add_training_options(parser)
    return parser.parse_args(argv)


if __name__ == "__main__":
    run(main)

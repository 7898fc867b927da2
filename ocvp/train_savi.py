"""Train a SAVi: decompose videos into slots, by reconstructing their frames.

Running the same command again goes on from where an interrupted run was last saved.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from ocvp.config.entries import SaviStage
from ocvp.data.videos import VideoFile
from ocvp.models.savi import SAVi
from ocvp.runtime.files import check_writable
from ocvp.runtime.program import (
    add_training_options,
    read_runtime,
    read_section,
    run,
    stage_parser,
    start_logging,
)
from ocvp.training.savi_task import SaviTask
from ocvp.training.session import Session, Subject, initialised, run_training

PROGRAM = "ocvp.train_savi"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program (see the module's description)."""
    args = _parse(argv)
    start_logging(args.log)
    check_writable(args.output)
    stage = read_section(SaviStage, args.config, "--config")
    runtime = read_runtime(args.runtime)
    return run_training(Session("fit_savi", PROGRAM, args, argv, stage, runtime), _load)


def _load(session: Session, device: torch.device) -> Subject:
    """Build the SAVi for the videos that it is trained on."""
    args, stage = session.args, session.stage
    with VideoFile(args.train) as videos:
        model = {**stage.model.model_dump(), "resolution": (videos.height, videos.width)}
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
    files.add_argument(
        "--output",
        type=Path,
        required=True,
        help="checkpoint to write (savi.pt); its folder also takes the best or last weights, "
        "TensorBoard's files, and what an interrupted run resumes from",
    )
    add_training_options(parser)
    return parser.parse_args(argv)


if __name__ == "__main__":
    run(main)

"""Train a SAVi: decompose videos into slots, by reconstructing their frames.

Running the same command again goes on from where an interrupted run was last saved.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from ocvp.checkpoint import save_training, start_from
from ocvp.config_models import SaviStage
from ocvp.device import prepare_device
from ocvp.files import check_writable
from ocvp.origins import files_digest, write_record
from ocvp.program import (
    add_training_options,
    read_runtime,
    read_section,
    run,
    stage_parser,
    start_logging,
    write_companions,
)
from ocvp.randomness import derived_seed
from ocvp.resume import ResumeFolder, fingerprint
from ocvp.savi import SAVi
from ocvp.savi_training import SaviTask
from ocvp.training import train
from ocvp.videos import VideoFile

PROGRAM = "ocvp.train_savi"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program (see the module's description)."""
    args = _parse(argv)
    start_logging(args.log)
    check_writable(args.output)
    stage = read_section(SaviStage, args.config, "--config")
    runtime = read_runtime(args.runtime)
    device = prepare_device(runtime.device, stage.training.num_threads)

    with VideoFile(args.train) as videos:
        arguments = {**stage.model.model_dump(), "resolution": (videos.height, videos.width)}
    torch.manual_seed(derived_seed(args.seed, "initialisation"))
    savi = SAVi(**arguments).to(device)
    origin = files_digest([args.checkpoint]) if args.checkpoint else ""
    start = start_from(savi, args.checkpoint, "savi", arguments) if args.checkpoint else None
    task = SaviTask(
        savi, stage.training, runtime, train=args.train, validation=args.val, seed=args.seed
    )
    run_of = fingerprint("fit_savi", stage, args.seed, [args.train, args.val])
    if start:
        run_of["start"] = start
    with ResumeFolder(args.output.parent / "resume", run_of, fresh=args.fresh) as resume:
        state = train(
            task,
            stage.training,
            seed=args.seed,
            folder=args.output.parent / "tensorboard",
            resume=resume,
            save_interval_minutes=runtime.save_interval_minutes,
            description="training SAVi",
        )
        save_training(
            args.output,
            state,
            last_weights=savi.state_dict(),
            select=stage.training.select,
            kind="savi",
            model=arguments,
            config=stage,
            seed=args.seed,
            sources=run_of["inputs"],
        )
    write_companions(args.output, PROGRAM, stage, argv)
    write_record(args.output, args.checkpoint, digest=origin)
    return 0


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = stage_parser(__doc__, PROGRAM, "`model` and `training` of an entry of `savi`")
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

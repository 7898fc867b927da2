"""Train a SAVi: decompose videos into slots, by reconstructing their frames.

Running the same command again goes on from where an interrupted run was last saved.
"""

from collections.abc import Sequence
from pathlib import Path

import torch

from ocvp.checkpoint import save_training
from ocvp.config import SaviStage
from ocvp.device import prepare_device
from ocvp.program import (
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


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program (see the module's description)."""
    parser = stage_parser(__doc__)
    parser.add_argument("--train", type=Path, required=True, help="videos to train on (HDF5)")
    parser.add_argument("--val", type=Path, required=True, help="videos to validate on (HDF5)")
    parser.add_argument("--seed", type=int, default=0, help="seed of every draw (default: 0)")
    parser.add_argument("--fresh", action="store_true", help="train anew instead of resuming")
    parser.add_argument("--output", type=Path, required=True, help="checkpoint to write (savi.pt)")
    args = parser.parse_args(argv)
    start_logging(args.log)
    stage = read_section(SaviStage, args.config, "--config")
    runtime = read_runtime(args.runtime)
    device = prepare_device(runtime.device, stage.training.num_threads)

    with VideoFile(args.train) as videos:
        arguments = {**stage.model.model_dump(), "resolution": (videos.height, videos.width)}
    torch.manual_seed(derived_seed(args.seed, "initialisation"))
    savi = SAVi(**arguments).to(device)
    task = SaviTask(
        savi, stage.training, runtime, train=args.train, validation=args.val, seed=args.seed
    )
    run_of = fingerprint("fit_savi", stage, args.seed, [args.train, args.val])
    state = train(
        task,
        stage.training,
        seed=args.seed,
        folder=args.output.parent / "tensorboard",
        resume=ResumeFolder(args.output.parent / "resume", run_of, fresh=args.fresh),
        save_interval_minutes=runtime.save_interval_minutes,
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
    write_companions(args.output, "ocvp.train_savi", stage, argv)
    return 0


if __name__ == "__main__":
    run(main)

"""Train a SAVi: decompose videos into slots, by reconstructing their frames.

Running the same command again goes on from where an interrupted run was last saved.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from ocvp.compute.randomness import derived_seed
from ocvp.config.savi import SaviStage
from ocvp.data.videos import VideoFile
from ocvp.models.loading import start_from
from ocvp.models.savi import SAVi
from ocvp.records.origins import files_digest
from ocvp.runtime.files import check_writable
from ocvp.runtime.logs import start_logging
from ocvp.runtime.program import add_training_options, read_runtime, read_section, run, stage_parser
from ocvp.training.savi_task import SaviTask
from ocvp.training.session import launched, prepared, train_and_save

PROGRAM = "ocvp.train_savi"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program (see the module's description)."""
    args = _parse(argv)
    start_logging(args.log)
    check_writable(args.output)
    stage = read_section(SaviStage, args.config, "--config")
    runtime = read_runtime(args.runtime)
    if (status := launched(PROGRAM, argv, args, runtime, stage.training)) is not None:
        return status
    origin = files_digest([args.checkpoint]) if args.checkpoint else ""
    with prepared(args, runtime, stage.training) as (device, group):
        with VideoFile(args.train) as videos:
            model = {**stage.model.model_dump(), "resolution": (videos.height, videos.width)}
        torch.manual_seed(derived_seed(args.seed, "initialisation"))
        savi = SAVi(**model).to(device)
        start = start_from(savi, args.checkpoint, "savi", model) if args.checkpoint else None
        data = {"train": args.train, "validation": args.val}
        train_and_save(
            SaviTask(savi, stage.training, runtime, **data, seed=args.seed),
            stage,
            runtime,
            args,
            argv,
            group,
            rule="fit_savi",
            kind="savi",
            model=model,
            inputs={"origin": args.checkpoint, "train": args.train, "val": args.val},
            start=start,
            origin=origin,
        )
    return 0


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

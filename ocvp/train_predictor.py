"""Train a slot predictor on the cached slots of one SAVi.

Running the same command again goes on from where an interrupted run was last saved.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from ocvp.compute.randomness import derived_seed
from ocvp.config.predictors import PredictorStage
from ocvp.models.loading import open_savi, start_from
from ocvp.models.predictors import PREDICTORS
from ocvp.records.origins import files_digest
from ocvp.runtime.files import check_writable
from ocvp.runtime.logs import start_logging
from ocvp.runtime.program import add_training_options, read_runtime, read_section, run, stage_parser
from ocvp.training.predictor_task import PredictorTask
from ocvp.training.session import launched, prepared, train_and_save

PROGRAM = "ocvp.train_predictor"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program (see the module's description)."""
    args = _parse(argv)
    start_logging(args.log)
    check_writable(args.output)
    stage = read_section(PredictorStage, args.config, "--config").root
    runtime = read_runtime(args.runtime)
    if (status := launched(PROGRAM, argv, args, runtime, stage.training)) is not None:
        return status
    origin = files_digest([args.checkpoint]) if args.checkpoint else ""
    with prepared(args, runtime, stage.training) as (device, group):
        checkpoint = open_savi(args.savi)
        savi, digest = checkpoint.build(device), checkpoint.digest
        model = {**stage.model.model_dump(), "slot_dim": savi.slot_dim}
        torch.manual_seed(derived_seed(args.seed, "initialisation"))
        predictor = PREDICTORS[stage.kind](**model).to(device)
        start = (
            start_from(predictor, args.checkpoint, stage.kind, model) if args.checkpoint else None
        )
        data = {"savi_digest": digest, "train": args.train, "validation": args.val}
        train_and_save(
            PredictorTask(predictor, savi, stage.training, runtime, **data, seed=args.seed),
            stage,
            runtime,
            args,
            argv,
            group,
            rule="fit_predictor",
            kind=stage.kind,
            model=model,
            inputs={
                "origin": args.checkpoint,
                "savi": args.savi,
                "train": args.train,
                "val": args.val,
            },
            start=start,
            origin=origin,
            savi_digest=digest,
        )
    return 0


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
    files.add_argument(
        "--output",
        type=Path,
        required=True,
        help="checkpoint to write (predictor.pt); its folder also takes the best or last weights, "
        "TensorBoard's files, and what an interrupted run resumes from",
    )
    add_training_options(parser)
    return parser.parse_args(argv)


if __name__ == "__main__":
    run(main)

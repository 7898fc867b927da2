"""Train a slot predictor on the cached slots of one SAVi.

Running the same command again goes on from where an interrupted run was last saved.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from ocvp.checkpoint import load_savi, read_checkpoint, save_training, start_from
from ocvp.config_models import PredictorStage
from ocvp.device import prepare_device
from ocvp.files import check_writable
from ocvp.origins import files_digest, write_record
from ocvp.predictor_training import PredictorTask
from ocvp.predictors import PREDICTORS
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
from ocvp.training import train

PROGRAM = "ocvp.train_predictor"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program (see the module's description)."""
    args = _parse(argv)
    start_logging(args.log)
    check_writable(args.output)
    stage = read_section(PredictorStage, args.config, "--config").root
    runtime = read_runtime(args.runtime)
    device = prepare_device(runtime.device, stage.training.num_threads)

    savi = load_savi(args.savi, device)
    savi_digest = read_checkpoint(args.savi, kinds=("savi",))["weights_digest"]
    arguments = {**stage.model.model_dump(), "slot_dim": savi.slot_dim}
    torch.manual_seed(derived_seed(args.seed, "initialisation"))
    predictor = PREDICTORS[stage.kind](**arguments).to(device)
    origin = files_digest([args.checkpoint]) if args.checkpoint else ""
    start = (
        start_from(predictor, args.checkpoint, stage.kind, arguments) if args.checkpoint else None
    )
    task = PredictorTask(
        predictor,
        savi,
        stage.training,
        runtime,
        savi_digest=savi_digest,
        train=args.train,
        validation=args.val,
        seed=args.seed,
    )
    run_of = fingerprint("fit_predictor", stage, args.seed, [*args.train, *args.val])
    run_of["savi"] = savi_digest
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
            description=f"training {stage.kind}",
        )
        save_training(
            args.output,
            state,
            last_weights=predictor.state_dict(),
            select=stage.training.select,
            kind=stage.kind,
            model=arguments,
            config=stage,
            seed=args.seed,
            savi_digest=savi_digest,
            sources=run_of["inputs"],
        )
    write_companions(args.output, PROGRAM, stage, argv)
    write_record(args.output, args.checkpoint, digest=origin)
    return 0


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = stage_parser(__doc__, PROGRAM, "an entry of `predictors`")
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

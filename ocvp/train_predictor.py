"""Train a slot predictor on the cached slots of one SAVi.

Running the same command again goes on from where an interrupted run was last saved.
"""

from collections.abc import Sequence
from pathlib import Path

import torch

from ocvp.checkpoint import load_savi, read_checkpoint, save_training
from ocvp.config import PredictorStage
from ocvp.device import prepare_device
from ocvp.predictor_training import PredictorTask
from ocvp.predictors import PREDICTORS
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
from ocvp.training import train


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program (see the module's description)."""
    parser = stage_parser(__doc__)
    parser.add_argument("--savi", type=Path, required=True, help="checkpoint of the SAVi (savi.pt)")
    for split, verb in (("train", "train"), ("val", "validate")):
        parser.add_argument(
            f"--{split}",
            type=Path,
            nargs=2,
            metavar=("VIDEOS", "SLOTS"),
            required=True,
            help=f"videos to {verb} on, and their slots (HDF5)",
        )
    parser.add_argument("--seed", type=int, default=0, help="seed of every draw (default: 0)")
    parser.add_argument("--fresh", action="store_true", help="train anew instead of resuming")
    parser.add_argument(
        "--output", type=Path, required=True, help="checkpoint to write (predictor.pt)"
    )
    args = parser.parse_args(argv)
    start_logging(args.log)
    stage = read_section(PredictorStage, args.config, "--config").root
    runtime = read_runtime(args.runtime)
    device = prepare_device(runtime.device, stage.training.num_threads)

    savi = load_savi(args.savi, device)
    savi_digest = read_checkpoint(args.savi, kinds=("savi",))["weights_digest"]
    arguments = {**stage.model.model_dump(), "slot_dim": savi.slot_dim}
    torch.manual_seed(derived_seed(args.seed, "initialisation"))
    predictor = PREDICTORS[stage.kind](**arguments).to(device)
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
        last_weights=predictor.state_dict(),
        select=stage.training.select,
        kind=stage.kind,
        model=arguments,
        config=stage,
        seed=args.seed,
        savi_digest=savi_digest,
        sources=run_of["inputs"],
    )
    write_companions(args.output, "ocvp.train_predictor", stage, argv)
    return 0


if __name__ == "__main__":
    run(main)

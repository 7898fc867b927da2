"""Turn a published checkpoint into a checkpoint of this project.

The file may hold a SAVi or a predictor. Nothing in it is run: only tensors, containers and the
published warm-up object are read, and anything else is refused by name. A checkpoint that was made
here (.pt) is checked and taken over.
"""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

from ocvp.config.predictors import ImportStage
from ocvp.models.checkpoint import save_checkpoint
from ocvp.models.tensor_files import save_tensors
from ocvp.published.importing import check_settings, read_import
from ocvp.records.origins import PARAMS, write_record
from ocvp.records.records import Making
from ocvp.runtime.environment import made_by
from ocvp.runtime.files import all_or_none, check_writable
from ocvp.runtime.logs import start_logging
from ocvp.runtime.program import read_section, run, stage_parser

PROGRAM = "ocvp.import_checkpoint"
logger = logging.getLogger(PROGRAM)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program (see the module's description)."""
    args = _parse(argv)
    start_logging(args.log)
    making = Making("import_predictor" if args.savi else "import_savi", argv)
    check_writable(args.output)
    stage = None
    if args.config.strip() != "{}":  # else the checkpoint says what it is
        stage = read_section(ImportStage, args.config, "--config")
    wanted = stage.kind if stage else None
    found = read_import(args.checkpoint, args.params, args.savi, args.seed, wanted)
    stage = stage or ImportStage(kind=found.content["kind"])
    check_settings(stage, found.content["model"], args.checkpoint)
    making.read({"checkpoint": args.checkpoint, "params": found.params, "savi": args.savi})
    with all_or_none([args.output]):
        if "weights_digest" in found.content:  # of this project
            save_tensors(args.output, found.content)
        else:
            save_checkpoint(args.output, **made_by(), **found.content)
        write_record(args.output, args.checkpoint, args.params, found.digest)
        making.finish([args.output], stage, seed=args.seed)
    remove_siblings(args.output, [args.checkpoint, args.savi])
    return 0


def remove_siblings(output: Path, inputs: Sequence[Path | None]) -> None:
    """Remove the best or last weights of a training whose product the import has replaced.

    Args:
        output: The imported checkpoint, for example `savi.pt`; `savi.best.pt` and `savi.last.pt`
            go.
        inputs: Files that were given, and stay.
    """
    kept = [path.resolve() for path in inputs if path]
    for choice in ("best", "last"):
        sibling = output.with_suffix(f".{choice}.pt")
        if sibling.is_file() and sibling.resolve() not in kept:
            sibling.unlink()
            logger.info("removed %s, which an earlier training wrote", sibling)


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = stage_parser(
        __doc__,
        PROGRAM,
        config_help="`kind` that the checkpoint must hold, and settings that its `model` must have",
    )
    files = parser.add_argument_group("files")
    files.add_argument(
        "--checkpoint", type=Path, required=True, help="published checkpoint (.pth), or a .pt"
    )
    files.add_argument(
        "--params",
        type=Path,
        help=f"parameter file of a published checkpoint (default: {PARAMS} in the folder of "
        "the checkpoint, or in the one above)",
    )
    files.add_argument(
        "--savi",
        type=Path,
        help="for a predictor: the SAVi that it was trained on, as a checkpoint of this project",
    )
    files.add_argument(
        "--output", type=Path, required=True, help="checkpoint to write (savi.pt, predictor.pt)"
    )
    parser.add_argument_group("run").add_argument(
        "--seed", type=int, default=0, help="seed to record, of published checkpoints (default: 0)"
    )
    return parser.parse_args(argv)


if __name__ == "__main__":
    run(main)

"""Make the video files of a data set: `chunk` makes a part of a split, `merge` joins the parts.

Any process can make any chunk, and the merged file does not depend on how the split was cut. A
chunk that is interrupted is made again, those that are finished are kept.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from ocvp.config.datasets import DatasetStage
from ocvp.config.section import Split
from ocvp.data.conversion import make_chunk, merge_chunks
from ocvp.records.records import Making
from ocvp.runtime.files import all_or_none, check_writable, companion
from ocvp.runtime.logs import start_logging
from ocvp.runtime.program import program_parser, read_section, run, stage_parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; see the module's head."""
    args = _parse(argv)
    start_logging(args.log)
    check_writable(args.output)
    dataset = read_section(DatasetStage, args.config, "--config").root
    if args.root is not None and hasattr(dataset, "root"):
        dataset = dataset.model_copy(update={"root": str(args.root)})
    if args.step == "chunk":
        # Nothing accompanies chunks: the workflow deletes them, and would leave it behind.
        make_chunk(dataset, args.dataset, args.split, args.chunk, args.output)
    else:
        making = Making("make_videos", argv, dataset.kind)
        with all_or_none([args.output, companion(args.output, "manifest.json")]):
            raw = merge_chunks(dataset, args.dataset, args.split, args.chunks, args.output)
            making.finish(
                [args.output],
                dataset,
                joined=len(args.chunks),
                raw={"root": args.root and str(args.root)} | raw,
            )
    return 0


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = program_parser(__doc__, "ocvp.prepare_data")
    steps = parser.add_subparsers(dest="step", required=True)
    chunk = _add_step(steps, "chunk", help="make a part of a split")
    merge = _add_step(steps, "merge", help="join the parts of a split")
    chunk.add_argument("--chunk", required=True, type=int, help="index of the part, from 0")
    merge.add_argument("--chunks", required=True, type=Path, nargs="+", help="all parts, in order")
    return parser.parse_args(argv)


def _add_step(
    steps: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, *, help: str
) -> argparse.ArgumentParser:
    """Add a step with the options that both steps have."""
    step = steps.add_parser(
        name,
        help=help,
        parents=[stage_parser(None)],
        # Both the common parser and the step define --help.
        conflict_handler="resolve",
    )
    step.add_argument("--dataset", required=True, help="the data set's name")
    step.add_argument("--split", required=True, choices=get_args(Split), help="the split")
    step.add_argument(
        "--root", type=Path, help="folder of the raw files (default: `root` of --config)"
    )
    step.add_argument("--output", required=True, type=Path, help="the video file to write")
    return step


if __name__ == "__main__":
    run(main)

"""Show what made a product: the whole chain from a figure, a score or a model to the raw data.

    python -m ocvp.provenance results/tabletop/savi/seed0/ocvp_seq/figures/short_video0.png

It follows the records beside the products (`provenance.json`). Where a product no longer holds what
it held when another one was made of it, the chain is broken: it says where, and exits with 1.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from ocvp.records.chain import as_brief_text, as_json, as_text, chain_of, walk
from ocvp.runtime.program import program_parser, run


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program (see the module's description)."""
    args = _parse(argv)
    chain = chain_of(args.path, verify=args.verify)
    if args.json:
        print(json.dumps(as_json(chain), indent=2))
    else:
        print("\n".join(as_brief_text(chain) if args.brief else as_text(chain)))
    faults = [node for node in walk(chain) if node.fault]
    if faults:
        raise ValueError(
            "the chain is broken:\n" + "\n".join(f"  {node.path}: {node.fault}" for node in faults)
        )
    return 0


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = program_parser(__doc__, "ocvp.provenance")
    parser.add_argument("path", type=Path, metavar="PATH", help="a product, below results/")
    parser.add_argument(
        "--verify",
        action="store_true",
        help="also compare the content of every file with its record (reads all videos and slots)",
    )
    forms = parser.add_mutually_exclusive_group()
    forms.add_argument("--brief", action="store_true", help="print one line for each product")
    forms.add_argument("--json", action="store_true", help="print the records as one JSON value")
    return parser.parse_args(argv)


if __name__ == "__main__":
    run(main)

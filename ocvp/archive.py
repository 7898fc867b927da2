"""Pack a finished study into one file, from which another machine can evaluate it again.

    python -m ocvp.archive --output study.tar.gz

Of several studies in one folder, that is the one which was run last.

The file holds the models, scores, tables, figures and the records of everything (`provenance.json`,
those of videos and slots too), the study's config, and a config that evaluates the packed models
instead of training. Videos and slots are not in it: they are made again, from the same raw data.
"""

import contextlib
from collections.abc import Sequence
from pathlib import Path

from ocvp.runtime.files import check_writable
from ocvp.runtime.logs import start_logging
from ocvp.runtime.program import program_parser, run
from ocvp.study.packing import name_of, pack


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program (see the module's description)."""
    parser = program_parser(__doc__, "ocvp.archive")
    parser.add_argument("--output", type=Path, required=True, help="file to write (.tar.gz)")
    parser.add_argument(
        "--directory", type=Path, default=Path(), help="folder of results/ (default: this one)"
    )
    args = parser.parse_args(argv)
    start_logging(None)
    name = name_of(args.output)
    check_writable(args.output)
    output = args.output.absolute()
    with contextlib.chdir(args.directory):
        pack(output, name)
    return 0


if __name__ == "__main__":
    run(main)

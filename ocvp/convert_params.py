"""Turn the parameter file of a published experiment into a config of this project.

The config goes to --output, or to the screen. Which keys of the file have no effect is said, with
the reason, at the head of the config and on the way.
"""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

from ocvp.config.whole import read_config
from ocvp.published.conversion import convert
from ocvp.published.settings import read_params
from ocvp.published.text import config_text, note_text, notes_by_title
from ocvp.runtime.files import check_writable, write_text
from ocvp.runtime.logs import start_logging
from ocvp.runtime.program import run

PROGRAM = "ocvp.convert_params"
logger = logging.getLogger(PROGRAM)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program (see the module's description)."""
    args = _parse(argv)
    start_logging(args.log)
    if args.output is not None:
        check_writable(args.output)
    params = read_params(args.params)
    try:
        conversion = convert(params)
        read_config(conversion.config)
    except ValueError as error:
        raise ValueError(f"{args.params}: {error}") from error
    text = config_text(conversion)
    if args.output is None:
        print(text, end="")
    else:
        write_text(args.output, text)
    for title, notes in notes_by_title(conversion):
        level = logging.INFO if notes is conversion.no_effect else logging.WARNING
        logger.log(level, "%s", "\n".join([title, *(f"  {note_text(note)}" for note in notes)]))
    for remark in conversion.remarks:
        logger.info("%s", remark)
    return 0


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=f"python -m {PROGRAM}", description=__doc__)
    parser.add_argument("params", type=Path, help="experiment_params.json of a SAVi or a predictor")
    parser.add_argument("--output", type=Path, help="config to write (default: print it)")
    parser.add_argument(
        "--log", type=Path, help="file for records, warnings and tracebacks (default: none)"
    )
    return parser.parse_args(argv)


if __name__ == "__main__":
    run(main)

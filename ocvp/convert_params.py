"""Turn the parameter file of a published experiment into a config of this project.

The config goes to --output, or to the screen. Which keys of the file have no effect is said, with
the reason, at the head of the config and on the way.
"""

import argparse
import json
import logging
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from ocvp.config.whole import read_config
from ocvp.published.conversion import Conversion, Note, convert
from ocvp.published.settings import read_params
from ocvp.runtime.files import check_writable, write_text
from ocvp.runtime.logs import start_logging
from ocvp.runtime.program import run

PROGRAM = "ocvp.convert_params"
WIDTH = 100
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
    for title, notes in _lists(conversion):
        level = logging.INFO if notes is conversion.no_effect else logging.WARNING
        logger.log(level, "%s", "\n".join([title, *(f"  {note_text(note)}" for note in notes)]))
    for remark in conversion.remarks:
        logger.info("%s", remark)
    return 0


def config_text(conversion: Conversion) -> str:
    """Return a config as YAML, with what is to be said of it in comments at its head."""
    lines = [f"# Converted from a published parameter file by `python -m {PROGRAM}`.", "#"]
    for remark in conversion.remarks:
        lines += _wrapped(remark, "# - ", "#   ")
    for title, notes in _lists(conversion):
        lines += ["#", f"# {title}"]
        for note in notes:
            lines += _wrapped(note_text(note), "# - ", "#   ")
    body = yaml.dump(
        conversion.config, Dumper=_Dumper, sort_keys=False, width=WIDTH, allow_unicode=True
    )
    return "\n".join([*lines, "", body])


def note_text(note: Note) -> str:
    """Return what is said of one key: its value, and why."""
    return f"{note.key}: {json.dumps(note.value)} ({note.reason})"


def _lists(conversion: Conversion) -> Iterator[tuple[str, list[Note]]]:
    """Yield the lists of keys that did not become part of the config, those that are not empty."""
    for title, notes in (
        ("Keys of the file that are unknown, and were not converted:", conversion.unknown),
        ("Keys whose value could not be converted:", conversion.not_converted),
        ("Keys without effect:", conversion.no_effect),
    ):
        if notes:
            yield title, notes


def _wrapped(text: str, first: str, later: str) -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=first,
        subsequent_indent=later,
        break_long_words=False,
        break_on_hyphens=False,
    )


class _Dumper(yaml.SafeDumper):
    """Writes lists of plain values on one line."""

    def represent_sequence(
        self, tag: str, sequence: Any, flow_style: bool | None = None
    ) -> yaml.SequenceNode:
        return super().represent_sequence(tag, sequence, flow_style=True)

    def ignore_aliases(self, data: Any) -> bool:
        return True


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

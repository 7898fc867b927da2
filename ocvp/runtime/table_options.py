"""What the programs that make tables of a study share: options, and names in paths."""

import argparse
import re
from pathlib import Path
from typing import Any

from ocvp.config.section import NAME_PATTERN, VARIANT_PATTERN
from ocvp.config.tree import Config
from ocvp.config.whole import read_config
from ocvp.runtime.program import program_parser, read_mapping

NAME = NAME_PATTERN.strip("^$")
"""A regular expression for a name in a path."""
MODEL = VARIANT_PATTERN.strip("^$")
"""The same for a SAVi or predictor, which may be one variant of an entry with a grid."""
CHAIN = rf"(?P<dataset>{NAME})/(?P<savi>{MODEL})/seed(?P<seed>\d+)/"
"""The same for the folder of a SAVi and all that is made with it."""


def table_parser(
    module: str, description: str | None, *, config_help: str
) -> argparse.ArgumentParser:
    """Return a parser with the options that all these programs have.

    Args:
        module: The program's module, for example `ocvp.summarize`.
        description: The program's docstring, shown by `--help`.
        config_help: What the program does with the whole config (see `study_of`).
    """
    parser = program_parser(description, module)
    parser.add_argument(
        "--config", help=f"the whole config, a file or inline JSON: {config_help} (default: none)"
    )
    parser.add_argument(
        "--log", type=Path, help="file for records, warnings and tracebacks (default: none)"
    )
    return parser


def study_of(args: argparse.Namespace) -> tuple[Config | None, dict[str, Any]]:
    """Return the config of `--config`, validated, and as it is written; nothing without one.

    Raises:
        ValueError: If it is not valid.
    """
    if args.config is None:
        return None, {}
    written = read_mapping(args.config, "--config")
    return read_config(written), written


def names_in(path: Path, pattern: re.Pattern[str], expected: str) -> dict[str, Any]:
    """Return what a product's path says of it: the groups of a pattern, the seed as a number.

    Args:
        path: The product.
        pattern: What its path must end with.
        expected: What the path should say, for the message.

    Raises:
        ValueError: If it does not.
    """
    match = pattern.search(path.as_posix())
    if match is None:
        raise ValueError(f"{path} does not say what it {expected}")
    return {**match.groupdict(default=""), "seed": int(match["seed"])}

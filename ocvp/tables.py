"""What the programs that make tables share: names in paths, and the study that is tabulated."""

import argparse
from typing import Any

from ocvp.config import Config
from ocvp.config_section import NAME_PATTERN, VARIANT_PATTERN
from ocvp.program import read_mapping
from ocvp.study import read_config

NAME = NAME_PATTERN.strip("^$")
"""A regular expression for a name in a path."""
MODEL = VARIANT_PATTERN.strip("^$")
"""The same for a SAVi or predictor, which may be one variant of an entry with a grid."""


def add_study_option(parser: argparse.ArgumentParser, effect: str) -> None:
    """Add the option that gives the whole config (see `study_of`).

    Args:
        parser: The program's parser.
        effect: What the program does with it.
    """
    parser.add_argument(
        "--config", help=f"the whole config, a file or inline JSON: {effect} (default: none)"
    )


def study_of(args: argparse.Namespace) -> tuple[Config | None, dict[str, Any]]:
    """Return the config of `--config`, validated, and as it is written; nothing without one.

    Raises:
        ValueError: If it is not valid.
    """
    if args.config is None:
        return None, {}
    written = read_mapping(args.config, "--config")
    return read_config(written), written

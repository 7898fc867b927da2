"""What the programs that make tables share: names in paths, and the study that is tabulated."""

import argparse
from pathlib import Path
from typing import Any

from ocvp.config.section import NAME_PATTERN, VARIANT_PATTERN
from ocvp.config.tree import Config
from ocvp.config.whole import read_config
from ocvp.runtime.program import read_mapping

NAME = NAME_PATTERN.strip("^$")
"""A regular expression for a name in a path."""
MODEL = VARIANT_PATTERN.strip("^$")
"""The same for a SAVi or predictor, which may be one variant of an entry with a grid."""


def table_parser(
    module: str, description: str | None, *, config_help: str
) -> argparse.ArgumentParser:
    """Return a parser with the options that all these programs have.

    Args:
        module: The program's module, for example `ocvp.summarize`.
        description: The program's docstring, shown by `--help`.
        config_help: What the program does with the whole config (see `study_of`).
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m {module}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
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

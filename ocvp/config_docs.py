"""Write what is generated from the config's models: the JSON schema, and the tables of keys.

Run it in the project's folder after a change of ocvp/config/. The schema serves editors (and is
no validation); the tables stand between two marks in config/README.md.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from ocvp.config.descriptions import schema_text, with_tables
from ocvp.runtime.files import write_text
from ocvp.runtime.program import run

SCHEMA = Path("workflow/schemas/config.schema.json")
README = Path("config/README.md")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program (see the module's description)."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--schema", type=Path, default=SCHEMA, help=f"file to write ({SCHEMA})")
    parser.add_argument("--readme", type=Path, default=README, help=f"file to change ({README})")
    args = parser.parse_args(argv)
    if not args.readme.is_file():
        raise ValueError(f"--readme is {args.readme}, which does not exist; run it in the project")
    readme = with_tables(args.readme.read_text(encoding="utf-8"))
    write_text(args.schema, schema_text())
    write_text(args.readme, readme)
    return 0


if __name__ == "__main__":
    run(main)

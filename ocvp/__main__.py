"""All programs as one command: `ocvp train-savi ...` is `python -m ocvp.train_savi ...`."""

import argparse
import ast
import runpy
import sys
import textwrap
from pathlib import Path

WIDTH = 100


def main() -> None:
    """Run the program that the first word of the command line names, with the others."""
    programs = find_programs()
    column = max(map(len, programs)) + 2
    listed = [
        f"  {name:{column}}{textwrap.shorten(about, WIDTH - column - 2, placeholder=' ...')}"
        for name, about in programs.items()
    ]
    parser = argparse.ArgumentParser(
        prog="ocvp",
        usage="ocvp COMMAND ...",
        description=__doc__,
        epilog="\n".join(["commands (ocvp COMMAND --help explains one):", *listed]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", metavar="COMMAND", help="what to do, see below")
    name = parser.parse_args(sys.argv[1:2]).command.replace("_", "-")
    if name not in programs:
        parser.error(f"COMMAND is {name}; allowed are {', '.join(programs)}")
    del sys.argv[1]
    runpy.run_module(f"ocvp.{name.replace('-', '_')}", run_name="__main__", alter_sys=True)


def find_programs() -> dict[str, str]:
    """Return the names of all programs with what they do, without importing any."""
    found = {}
    for path in sorted(Path(__file__).parent.glob("[a-z]*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in tree.body):
            text = " ".join((ast.get_docstring(tree) or "").split("\n\n")[0].split())
            found[path.stem.replace("_", "-")] = text
    return found


if __name__ == "__main__":
    main()

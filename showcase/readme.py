"""Write the README's opening: the picture and the table of the finished demo.

`make shipped` does that. What stands between the two marks in README.md is replaced.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

from ocvp.config.tree import STUDIES
from ocvp.evaluation.result_tables import main_tables
from ocvp.evaluation.table_formats import as_markdown
from ocvp.runtime.files import atomic_path, write_text
from ocvp.runtime.program import program_parser, run
from ocvp.show_results import read_tables

START, END = "<!-- Made by `make shipped`, of what `make demo` made: -->", "<!-- end -->"
PICTURE = Path("docs/pictures/rollout.gif")
STUDY, PROTOCOL, PREDICTOR = "demo", "long", "ocvp_seq"
DRAWN = Path(f"tabletop/savi/seed0/{PREDICTOR}/figures/{PROTOCOL}_video2.gif")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program (see the module's description)."""
    parser = program_parser(__doc__)
    parser.add_argument(
        "results", type=Path, nargs="?", default=Path("results"), help="folder (default: results)"
    )
    parser.add_argument(
        "--picture", type=Path, default=DRAWN, help=f"in that folder (default: {DRAWN})"
    )
    parser.add_argument(
        "--readme", type=Path, default=Path("README.md"), help="file to change (default: README.md)"
    )
    args = parser.parse_args(argv)
    text = args.readme.read_text(encoding="utf-8")
    block = block_of(args.results, args.picture)
    changed = with_block(text, block)
    with atomic_path(args.readme.parent / PICTURE) as temporary:
        shutil.copyfile(args.results / args.picture, temporary)
    write_text(args.readme, changed)
    return 0


def block_of(results: Path, picture: Path) -> str:
    """Return the picture and the table in Markdown, with the commands that make them."""
    summary, _ = read_tables(results / STUDIES / STUDY)
    of_predictors = (summary["predictor"] != "") & (summary["protocol"] == PROTOCOL)
    table = main_tables(summary[of_predictors])[0]._replace(notes=())
    drawn = f"![A rollout: true frames, predicted frames, and their slots]({PICTURE})"
    made = (
        f"`make demo` draws this picture (`results/{picture}`)\n"
        "and prints this table (`python -m ocvp.show_results --brief`):"
    )
    return f"{drawn}\n\n{made}\n\n{as_markdown(table).strip()}"


def with_block(text: str, block: str) -> str:
    """Return a text with something else between its marks.

    Raises:
        ValueError: If the text does not hold both marks, each once.
    """
    if text.count(START) != 1 or text.count(END) != 1:
        raise ValueError(f"README.md must hold {START} and {END} once each")
    before, _, rest = text.partition(START)
    return f"{before}{START}\n\n{block}\n\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    run(main)

"""Write the config of a new experiment: a shipped one under a name of its own, fully explained.

Every key stands in it with its value, after a comment that says what it means. The models get names
of their own, so the new experiment uses the videos of the old one, and never overwrites its models.
With `--savi`, it trains predictors on that SAVi, which is not trained again.
"""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

from ocvp.config.experiments import new_experiment
from ocvp.config.section import NAME_PATTERN
from ocvp.config.text import commented_yaml
from ocvp.config.tree import Config
from ocvp.config.whole import read_as_written
from ocvp.config.yaml_files import load
from ocvp.runtime.files import write_text
from ocvp.runtime.logs import logger, start_logging
from ocvp.runtime.program import program_parser, run

CONFIGS = Path("config")
NAME = re.compile(NAME_PATTERN)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program (see the module's description)."""
    args = _parse(argv)
    start_logging(None)
    if not NAME.fullmatch(args.name):
        raise ValueError(
            f"NAME is {args.name!r}; a name consists of lower-case letters, digits and "
            "underscores, with a letter first"
        )
    output = args.output or CONFIGS / f"{args.name}.yaml"
    if output.exists():
        raise ValueError(f"{output} exists already; choose another NAME or --output, or delete it")
    template = find_template(args.like)
    config = new_experiment(
        read_template(template),
        template=template.stem,
        name=args.name,
        savi=args.savi,
        predictors=args.predictors,
    )
    text = commented_yaml(config, _header(args.name, template, output))
    assert read_as_written(load(text, str(output))) == config  # comments change nothing
    write_text(output, text)
    logger.info(
        "wrote %s; edit it, see what would run, and run it:\n"
        "  snakemake -n --configfile %s\n  snakemake --cores 2 --configfile %s",
        *[output] * 3,
    )
    return 0


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = program_parser(__doc__, "ocvp.new_experiment")
    parser.add_argument("name", metavar="NAME", help="name of the experiment, part of its entries'")
    parser.add_argument(
        "--like",
        required=True,
        metavar="CONFIG",
        help="the experiment to start from: the name of a shipped config (obj3d, movi_a, ...), or "
        "the path of a whole config",
    )
    parser.add_argument(
        "--savi",
        metavar="SAVI",
        help="build on this SAVi of the other experiment, by its name there (default: a new one)",
    )
    parser.add_argument(
        "--predictors",
        nargs="*",
        metavar="PREDICTOR",
        help="predictors to keep, by kind or name; none after the option: SAVi only (default: all)",
    )
    parser.add_argument(
        "--output", type=Path, help="file to write (default: config/NAME.yaml)", metavar="FILE"
    )
    return parser.parse_args(argv)


def find_template(like: str) -> Path:
    """Return the path of a config that is given by its path, or by its name where it is shipped.

    Shipped configs are those in `config/` of the working folder, and those beside the package.

    Raises:
        ValueError: If there is none, listing the names that there are.
    """
    if Path(like).is_file():
        return Path(like)
    folders = (CONFIGS, Path(__file__).parent.parent / CONFIGS)
    for folder in folders:
        if NAME.fullmatch(like) and (folder / f"{like}.yaml").is_file():
            return folder / f"{like}.yaml"
    names = sorted({path.stem for folder in folders for path in folder.glob("*.yaml")})
    raise ValueError(
        f"--like is {like!r}, which is neither a file nor the name of a config; there are: "
        f"{', '.join(names) or 'none'}"
    )


def read_template(path: Path) -> Config:
    """Read and validate a whole config.

    Raises:
        ValueError: If it is no YAML, no whole config, or not valid.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no YAML: {error}") from None
    value = load(text, str(path))
    if not isinstance(value, dict) or not {"datasets", "study"} <= value.keys():
        raise ValueError(f"{path} is no whole config: it needs datasets and a study")
    try:
        return read_as_written(value)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _header(name: str, template: Path, output: Path) -> list[str]:
    return [
        f"The experiment {name}, like {template.stem}: every key with its value and meaning.",
        f"Why {template.stem} has these values is said in the comments of {template.name}.",
        "",
        f"  snakemake -n --configfile {output}         # what would run, and why",
        f"  snakemake --cores 2 --configfile {output}",
    ]


if __name__ == "__main__":
    run(main)

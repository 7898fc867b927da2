"""Write the config of a new experiment, fully explained.

Every key stands in it with its value, after a comment that says what it means.

With `--like`, it is a shipped experiment, or one of yours, whose models get names of their own: it
uses the videos of the old one, and never overwrites its models. With `--savi` besides, it trains
predictors on that SAVi, which is not trained again. In two steps:

    python -m ocvp.new_experiment mine --like obj3d --predictors         # a SAVi alone
    python -m ocvp.new_experiment later --like mine --savi savi_mine     # predictors on it

With `--videos`, it is made for a folder of your own films: what they show is looked at, and the
file says at its head what follows from that, and why.
"""

import argparse
import math
import os
from collections.abc import Sequence
from pathlib import Path

from ocvp.config.experiments import CONFIGS, NAME, find_template, new_experiment, read_template
from ocvp.config.recipe import recipe, with_budget
from ocvp.config.text import commented_yaml, wrapped
from ocvp.config.tree import Config
from ocvp.config.whole import read_as_written
from ocvp.config.yaml_files import load
from ocvp.runtime.files import write_text
from ocvp.runtime.logs import logger, start_logging
from ocvp.runtime.program import program_parser, run

BUDGET = 30.0
"""Minutes, where the options give none."""


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
    config, header = _for_videos(args) if args.videos else _like_another(args)
    commands = [
        f"  snakemake -n --configfile {output}         # what would run, and why",
        f"  snakemake --cores 2 --configfile {output}",
    ]
    text = commented_yaml(config, [*header, "", *commands])
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
        "--output", type=Path, help="file to write (default: config/NAME.yaml)", metavar="FILE"
    )
    kind = parser.add_mutually_exclusive_group(required=True)
    kind.add_argument(
        "--like",
        metavar="CONFIG",
        help="the experiment to start from: the name of a shipped config (obj3d, movi_a, ...), or "
        "the path of a whole config",
    )
    kind.add_argument(
        "--videos",
        type=Path,
        metavar="FOLDER",
        help="the folder of films, or of folders of pictures, to make it for (docs/own_videos.md)",
    )
    like = parser.add_argument_group("with --like")
    like.add_argument(
        "--savi",
        metavar="SAVI",
        help="build on this SAVi of the other experiment, by its name there (default: a new one)",
    )
    like.add_argument(
        "--predictors",
        nargs="*",
        metavar="PREDICTOR",
        help="predictors to keep, by kind or name; none after the option: SAVi only, and the file "
        "has them ready for later (default: all)",
    )
    videos = parser.add_argument_group("with --videos")
    videos.add_argument(
        "--budget",
        type=float,
        metavar="MINUTES",
        help=f"how long the whole run is to take on this machine (default: {BUDGET})",
    )
    videos.add_argument(
        "--num-objects",
        type=int,
        metavar="N",
        help="the most objects that a video shows at once (default: as is seen moving)",
    )
    args = parser.parse_args(argv)
    foreign = {"--budget": args.budget, "--num-objects": args.num_objects}
    if args.videos:
        foreign = {"--savi": args.savi, "--predictors": args.predictors}
    for option, value in foreign.items():
        if value is not None:
            parser.error(f"{option} is not for --{'videos' if args.videos else 'like'}")
    return args


def _like_another(args: argparse.Namespace) -> tuple[Config, list[str]]:
    """Return a config like another one, and what the file says at its head."""
    template = find_template(args.like)
    config = new_experiment(
        read_template(template),
        template=template.stem,
        name=args.name,
        savi=args.savi,
        predictors=args.predictors,
    )
    return config, [
        f"The experiment {args.name}, like {template.stem}: every key with its value and meaning.",
        f"Why {template.stem} has these values is said in the comments of {template.name}.",
    ]


def _for_videos(args: argparse.Namespace) -> tuple[Config, list[str]]:
    """Return a config for a folder of videos, and what the file says at its head."""
    # Here: they load torch, which takes seconds.
    from ocvp.data.folder.look import look
    from ocvp.training.speed import steps_per_second

    minutes = BUDGET if args.budget is None else args.budget
    if not 0 < minutes < math.inf:
        raise ValueError(f"--budget is {minutes:g}; it must be a number of minutes above 0")
    seen = look(args.videos)
    made = recipe(seen, args.name, args.num_objects, num_threads=min(2, os.cpu_count() or 1))
    speed = steps_per_second(made.config.savi["savi"], made.config.datasets[args.name].resolution)
    made = with_budget(made, seen, speed, minutes)
    # --- say why
    reasons = [f"{keys}: {reason}" for keys, reason in made.reasons.items()]
    for reason in reasons:
        logger.info("- %s", reason)
    for doubt in made.doubts:
        logger.warning("%s", doubt)
    lines = [f"The experiment {args.name}, made for the {seen.num_videos} videos in {seen.folder}."]
    for text in [*reasons, *(f"Beware: {doubt}" for doubt in made.doubts)]:
        lines += [line.removeprefix("# ") for line in wrapped(text, "# - ", "#   ")]
    return made.config, lines


if __name__ == "__main__":
    run(main)

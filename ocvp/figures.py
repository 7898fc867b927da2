"""Draw what models make of videos: `slots` of a SAVi, `rollouts` of a predictor, `comparisons` of
several predictors.
"""

import argparse
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from ocvp.compute.device import prepare_device
from ocvp.config.tree import Figures
from ocvp.data.videos import VideoFile
from ocvp.evaluation.metrics import METRICS
from ocvp.evaluation.ranking import Ranking, named_video, rank_videos
from ocvp.evaluation.score_files import predictor_of, read_predictor_scores
from ocvp.models.loading import Opened, open_predictor, open_savi
from ocvp.pictures.animation import gif_rate_note, save_gif, save_mp4
from ocvp.pictures.compared import checked_rollouts
from ocvp.pictures.of_models import slots_figure
from ocvp.pictures.rollouts import Shown, rollouts_animation, rollouts_strip, tracks_figure
from ocvp.pictures.saving import save_figure, save_picture
from ocvp.records.records import Making, paths_of
from ocvp.runtime.files import all_or_none, check_writable
from ocvp.runtime.logs import start_logging
from ocvp.runtime.program import read_runtime, read_section, run, stage_parser

logger = logging.getLogger(__name__)

PROGRAM = "ocvp.figures"
NUM_THREADS = 1
INPUTS = ("savi", "predictors", "scores", "videos", "slots")
"""Options that name files to read."""
OUTPUTS = ("output", "pictures", "animations", "films", "tracks")
"""Options that name files to write."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program (see the module's description)."""
    args = _parse(argv)
    start_logging(args.log)
    making = Making(f"draw_{args.command}", argv)
    if "show" in args:
        _limit_videos(args)
    outputs = [path for name in OUTPUTS for path in _paths(args, name)]
    for path in outputs:
        check_writable(path)
    settings = read_section(Figures, args.config, "--config")
    opened = [open_savi(path) for path in _paths(args, "savi")]
    opened += [open_predictor(path) for path in _paths(args, "predictors")]
    with all_or_none(outputs):
        device = args.draw(args, settings, *opened)
        files = {name: _paths(args, name) for name in INPUTS}
        making.read(files, {checkpoint.path: checkpoint.digest for checkpoint in opened})
        making.finish(outputs, settings, seed=getattr(args, "seed", None), device=device)
    return 0


def _paths(args: argparse.Namespace, name: str) -> list[Path]:
    """Return the paths that an option names, none where the command has no such option."""
    return paths_of(getattr(args, name, None))


# --- options --------------------------------------------------------------------------------------


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=f"python -m {PROGRAM}", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    slots = _command(commands, draw_slots, "slots", help="draw what each slot of a SAVi holds")
    slots.add_argument("--savi", type=Path, required=True, help="checkpoint of the SAVi")
    slots.add_argument("--videos", type=Path, required=True, help="videos (HDF5)")
    slots.add_argument(
        "--output", type=Path, required=True, help="picture to write (PNG, PDF, SVG)"
    )
    slots.add_argument("--seed", type=int, default=0, help="seed of the slots' noise (default: 0)")

    for name, what, number in (
        ("rollouts", "a predictor's rollouts of some videos", 1),
        ("comparisons", "rollouts of several predictors of the same videos", "+"),
    ):
        _add_rollout_options(_command(commands, draw_rollouts, name, help=f"draw {what}"), number)
    return parser.parse_args(argv)


def _add_rollout_options(group: argparse._ArgumentGroup, number: int | str) -> None:
    def add(name: str, help: str, **settings: Any) -> None:
        group.add_argument(f"--{name}", **{"type": Path, "required": True, **settings}, help=help)

    add("savi", "checkpoint of the SAVi")
    add("predictors", "checkpoints of predictors on it", nargs=number)
    add("scores", "their scores (JSON), in the same order, under one protocol", nargs=number)
    add("videos", "videos (HDF5)")
    add("slots", "SAVi's slots of them (HDF5)")
    add("show", "videos to draw: video0, ..., best, median, worst", type=str, nargs="+")
    add("pictures", "a picture of each to write (PNG, PDF, SVG)", nargs="+")
    for name, what in (
        ("animations", "a GIF of each"),
        ("films", "an MP4 of each"),
        ("tracks", "a picture of each with the objects' tracks"),
    ):
        add(name, f"{what} (default: none)", nargs="*", required=False, default=[])


def _command(
    commands: argparse._SubParsersAction,
    draw: Callable[..., torch.device],
    name: str,
    *,
    help: str,
) -> argparse._ArgumentGroup:
    """Add a command, and return the group of its own options."""
    parser = commands.add_parser(
        name,
        parents=[stage_parser(None, config_help="the section `figures` of the config")],
        conflict_handler="resolve",  # both parsers define --help
        help=help,
        description=help,
    )
    parser.set_defaults(draw=draw)
    parser.add_argument("--title", default="", help="line above each figure (default: none)")
    return parser.add_argument_group("files")


def _limit_videos(args: argparse.Namespace) -> None:
    """Leave out the videos that the file does not hold."""
    with VideoFile(args.videos) as videos:
        held = {f"video{number}" for number in range(videos.num_videos)}
    missing = [name for name in args.show if name.startswith("video") and name not in held]
    if missing:
        text = "%s holds %d videos: %s are not drawn"
        logger.warning(text, args.videos, len(held), ", ".join(missing))
    kept = [number for number, name in enumerate(args.show) if name not in missing]
    for name in ("pictures", "animations", "films", "tracks"):
        paths = getattr(args, name)
        if paths and len(paths) != len(args.show):
            raise ValueError(f"--{name} names {len(paths)} files for {len(args.show)} of --show")
        setattr(args, name, [paths[number] for number in kept if paths])
    args.show = [args.show[number] for number in kept]


# --- what is drawn --------------------------------------------------------------------------------


def draw_slots(args: argparse.Namespace, settings: Figures, of_savi: Opened) -> torch.device:
    """Draw what each slot of a SAVi holds, for the first video; return where it was computed."""
    device = prepare_device(read_runtime(args.runtime).device, NUM_THREADS)
    savi = of_savi.build(device)
    panel = slots_figure(
        savi, args.videos, seed=args.seed, factor=settings.upscale, title=args.title
    )
    save_picture(args.output, panel)
    return device


def draw_rollouts(
    args: argparse.Namespace, settings: Figures, of_savi: Opened, *of_predictors: Opened
) -> torch.device:
    """Draw rollouts as strips, animations and tracks; return where that was computed."""
    device = prepare_device(read_runtime(args.runtime).device, NUM_THREADS)
    if args.animations and (note := gif_rate_note(settings.gif_fps)):
        logger.info("%s", note)
    for number, shown in enumerate(_shown_videos(args, device, of_savi, of_predictors)):
        save_picture(args.pictures[number], rollouts_strip(shown, settings.upscale))
        if args.animations or args.films:
            moving = rollouts_animation(shown, settings.upscale + 1)
        if args.animations:
            save_gif(args.animations[number], moving, settings.gif_fps)
        if args.films:
            save_mp4(args.films[number], moving, settings.gif_fps)
        if args.tracks:
            save_figure(args.tracks[number], tracks_figure(shown))
    return device


def _shown_videos(
    args: argparse.Namespace,
    device: torch.device,
    of_savi: Opened,
    of_predictors: Sequence[Opened],
) -> Iterator[Shown]:
    """Yield the videos of --show, with what is said of them.

    Raises:
        ValueError: If files do not belong together.
    """
    scores = {predictor_of(path): read_predictor_scores(path) for path in args.scores}
    if len(scores) != len(of_predictors):
        text = f"--predictors names {len(of_predictors)} files"
        raise ValueError(f"{text}, --scores those of {len(scores)} predictors: {', '.join(scores)}")
    ranking = rank_videos(list(scores.values()))
    numbers = [named_video(name, ranking) for name in args.show]
    protocol = next(iter(scores.values()))["protocol"]
    rollouts = checked_rollouts(
        of_savi,
        dict(zip(scores, of_predictors, strict=True)),
        *(args.videos, args.slots, numbers),
        protocol=protocol,
        device=device,
    )
    for name, number, rollout in zip(args.show, numbers, rollouts, strict=True):
        said = _scores_on(number, ranking.metric, scores)
        title = f"{args.title}: {_description(name, number, ranking)}".removeprefix(": ")
        yield Shown(rollout, protocol["num_context"], title, said)


def _description(name: str, number: int, ranking: Ranking) -> str:
    """Return what a figure says of why a video is shown."""
    if name == f"video{number}":
        return f"video {number}"
    metric = METRICS[ranking.metric].name
    return f"video {number}, the {name} of {len(ranking.videos)} by {metric}"


def _scores_on(video: int, metric: str, scores: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Return what predictors score on a video, in words."""
    values = {name: found["per_video"][metric][video] for name, found in scores.items()}
    name = METRICS[metric].name
    return {key: "" if value is None else f"{name} {value:.3g}" for key, value in values.items()}


if __name__ == "__main__":
    run(main)

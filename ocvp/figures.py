"""Draw figures: `slots` of a SAVi, `rollouts` of a predictor, `curves` of metrics over time, and of
what `probes` read.
"""

import argparse
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from ocvp.compute.device import prepare_device
from ocvp.config.tree import Figures
from ocvp.data.slot_files import check_slots
from ocvp.data.videos import VideoFile
from ocvp.evaluation.score_files import read_predictor_scores
from ocvp.models.loading import Opened, check_belongs, open_predictor, open_savi
from ocvp.pictures.animation import save_gif
from ocvp.pictures.curves import figure_picture, metric_curves, predictor_styles, score_panels
from ocvp.pictures.drawing import save_png
from ocvp.pictures.of_models import drawn_rollouts, slots_figure
from ocvp.records.records import Making
from ocvp.runtime.files import all_or_none, check_writable
from ocvp.runtime.logs import start_logging
from ocvp.runtime.program import read_runtime, read_section, run, stage_parser

logger = logging.getLogger(__name__)

PROGRAM = "ocvp.figures"
NUM_THREADS = 1
INPUTS = ("savi", "predictor", "scores", "videos", "slots")
"""Options that name files to read."""
CHECKPOINTS = {"savi": open_savi, "predictor": open_predictor}
"""Those that name checkpoints, which are read once."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program (see the module's description)."""
    args = _parse(argv)
    start_logging(args.log)
    making = Making(f"draw_{args.command}", argv)
    if args.command == "rollouts":
        _limit_rollouts(args)
    outputs = [args.output] if "output" in args else [*args.pictures, *args.animations]
    for path in outputs:
        check_writable(path)
    settings = read_section(Figures, args.config, "--config")
    files = {name: getattr(args, name) for name in INPUTS if hasattr(args, name)}
    checkpoints = [CHECKPOINTS[name](path) for name, path in files.items() if name in CHECKPOINTS]
    with all_or_none(outputs):
        device = args.draw(args, settings, *checkpoints)
        making.read(files, {checkpoint.path: checkpoint.digest for checkpoint in checkpoints})
        making.finish(outputs, settings, seed=getattr(args, "seed", None), device=device)
    return 0


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=f"python -m {PROGRAM}", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    slots = _command(commands, draw_slots, "slots", help="draw what each slot of a SAVi holds")
    slots.add_argument("--savi", type=Path, required=True, help="checkpoint of the SAVi")
    slots.add_argument("--videos", type=Path, required=True, help="videos (HDF5)")
    slots.add_argument("--output", type=Path, required=True, help="picture to write (PNG)")
    slots.add_argument("--seed", type=int, default=0, help="seed of the slots' noise (default: 0)")

    rollouts = _command(
        commands, draw_rollouts, "rollouts", help="draw a predictor's rollouts of some videos"
    )
    rollouts.add_argument("--savi", type=Path, required=True, help="checkpoint of the SAVi")
    rollouts.add_argument(
        "--predictor", type=Path, required=True, help="checkpoint of the predictor"
    )
    rollouts.add_argument(
        "--scores",
        type=Path,
        required=True,
        help="the predictor's scores (JSON), which hold the protocol",
    )
    rollouts.add_argument("--videos", type=Path, required=True, help="videos (HDF5)")
    rollouts.add_argument("--slots", type=Path, required=True, help="SAVi's slots of them (HDF5)")
    rollouts.add_argument(
        "--pictures", type=Path, nargs="+", required=True, help="PNG for each video, from the first"
    )
    rollouts.add_argument(
        "--animations", type=Path, nargs="*", default=[], help="GIF for each video (default: none)"
    )

    for name, what, folder in (
        ("curves", "the metrics of predictors", "evaluation"),
        ("probes", "what probes read of predicted slots", "probe"),
    ):
        curves = _command(commands, draw_curves, name, help=f"draw {what} over time")
        curves.add_argument(
            "--scores",
            type=Path,
            nargs="+",
            required=True,
            help=f"scores of predictors under one protocol (PREDICTOR/{folder}/PROTOCOL.json)",
        )
        curves.add_argument("--output", type=Path, required=True, help="picture to write (PNG)")
    return parser.parse_args(argv)


def _command(
    commands: argparse._SubParsersAction,
    draw: Callable[..., torch.device | None],
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
    return parser.add_argument_group("files")


def draw_slots(args: argparse.Namespace, settings: Figures, of_savi: Opened) -> torch.device:
    """Draw what each slot of a SAVi holds, for the first video; return where it was computed."""
    device = prepare_device(read_runtime(args.runtime).device, NUM_THREADS)
    savi = of_savi.build(device)
    panel = slots_figure(savi, args.videos, seed=args.seed, factor=settings.upscale)
    save_png(args.output, panel)
    return device


def draw_rollouts(
    args: argparse.Namespace, settings: Figures, of_savi: Opened, of_predictor: Opened
) -> torch.device:
    """Draw rollouts of the first videos as strips and animations; return where that was done."""
    device = prepare_device(read_runtime(args.runtime).device, NUM_THREADS)
    check_belongs(of_predictor, of_savi)
    protocol = read_predictor_scores(args.scores)["protocol"]
    with VideoFile(args.videos) as videos:
        shape = {"num_videos": videos.num_videos, "num_frames": videos.num_frames}
    check_slots(args.slots, weights_digest=of_savi.digest, **shape)
    rollouts = drawn_rollouts(
        of_savi.build(device),
        of_predictor.build(device),
        args.videos,
        args.slots,
        protocol["num_context"],
        protocol["num_preds"],
    )
    for index, (picture, drawn) in enumerate(zip(args.pictures, rollouts, strict=False)):
        save_png(picture, drawn.strip(settings.upscale))
        if index < len(args.animations):
            moving = drawn.animation(settings.upscale + 1)
            save_gif(args.animations[index], moving, settings.gif_fps)
    return device


def _limit_rollouts(args: argparse.Namespace) -> None:
    """Leave as many pictures and animations as there are videos."""
    with VideoFile(args.videos) as videos:
        num_videos = videos.num_videos
    if len(args.pictures) > num_videos:
        text = "%s holds %d videos: the last %d of --pictures are not drawn"
        logger.warning(text, args.videos, num_videos, len(args.pictures) - num_videos)
    args.pictures, args.animations = args.pictures[:num_videos], args.animations[:num_videos]


def draw_curves(args: argparse.Namespace, settings: Figures) -> None:
    """Draw each metric over the predicted frames, with the baselines."""
    metrics = {
        path.absolute().parent.parent.name: read_predictor_scores(path)["metrics"]
        for path in args.scores
    }
    title = f"{args.scores[0].stem}: metrics over the predicted frames"
    styles = predictor_styles(list(metrics))
    save_png(args.output, figure_picture(metric_curves(score_panels(metrics), styles, title)))


if __name__ == "__main__":
    run(main)

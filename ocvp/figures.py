"""Draw figures: `slots` of a SAVi, `rollouts` of a predictor, `curves` of metrics over time, and of
what `probes` read.
"""

import argparse
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ocvp.batches.savi_inputs import encode_from_start, video_sources
from ocvp.batches.windows import Window, WindowReader
from ocvp.compute.device import prepare_device
from ocvp.config.tree import Figures
from ocvp.data.slot_files import check_slots
from ocvp.data.videos import VideoFile
from ocvp.evaluation.metrics import BASELINES, label_of
from ocvp.evaluation.score_files import read_score_file
from ocvp.evaluation.tracking_metrics import assign_slots
from ocvp.models.loading import Opened, check_belongs, open_predictor, open_savi
from ocvp.models.rollout import rollout
from ocvp.pictures.animation import rollout_animation, save_gif
from ocvp.pictures.curves import figure_picture, metric_curves, predictor_styles
from ocvp.pictures.decoded import Decoded, decoded
from ocvp.pictures.drawing import rollout_strip, save_png, slots_panel
from ocvp.pictures.overlays import background_slot, slot_colours
from ocvp.records.records import Making
from ocvp.runtime.files import all_or_none, check_writable
from ocvp.runtime.logs import start_logging
from ocvp.runtime.program import read_runtime, read_section, run, stage_parser

logger = logging.getLogger(__name__)

# Shapes: T frames, H W pixels, N slots, D slot_dim.
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


@torch.no_grad()
def draw_slots(args: argparse.Namespace, settings: Figures, checkpoint: Opened) -> torch.device:
    """Draw what each slot of a SAVi holds, for the first video; return where it was computed."""
    device = prepare_device(read_runtime(args.runtime).device, NUM_THREADS)
    savi = checkpoint.build(device)
    with VideoFile(args.videos) as videos:
        num_frames = videos.num_frames
    reader = WindowReader(video_sources(savi, args.videos), num_frames, residency="disk")
    windows, batch = reader[[Window(0, 0)]]
    slots = encode_from_start(savi, windows, batch, seed=args.seed, purpose="score")
    found = decoded(savi.decode(slots[0]))  # of (T, N, D)
    frames = batch["frames"][0].numpy()  # (T, H, W, 3)
    panel = slots_panel(frames, found.objects, found.masks, factor=settings.upscale)
    save_png(args.output, panel)
    return device


@torch.no_grad()
def draw_rollouts(
    args: argparse.Namespace, settings: Figures, of_savi: Opened, of_predictor: Opened
) -> torch.device:
    """Draw rollouts of the first videos as strips and animations; return where that was done."""
    device = prepare_device(read_runtime(args.runtime).device, NUM_THREADS)
    check_belongs(of_predictor, of_savi)
    savi, predictor = of_savi.build(device), of_predictor.build(device)
    # --- the windows that were scored
    protocol = _part_of(args.scores, "protocol")
    num_context, num_preds = protocol["num_context"], protocol["num_preds"]
    sources = {"frames": (args.videos, "frames"), "slots": (args.slots, "slots")}
    with VideoFile(args.videos) as videos:
        num_videos, num_frames = videos.num_videos, videos.num_frames
        if videos.has("masks"):
            sources["masks"] = (args.videos, "masks")
    check_slots(
        args.slots, weights_digest=of_savi.digest, num_videos=num_videos, num_frames=num_frames
    )
    reader = WindowReader(sources, num_context + num_preds, residency="disk")
    for index, picture in enumerate(args.pictures):
        _, batch = reader[[Window(index, 0)]]
        context = batch["slots"][:, :num_context].to(device)  # (1, num_context, N, D)
        predicted = rollout(predictor, context, num_preds)  # (1, num_preds, N, D)
        found = decoded(savi.decode(torch.cat([context, predicted], dim=1)[0]))
        true_labels = batch["masks"][0].numpy() if "masks" in batch else None
        arguments = {
            "num_context": num_context,
            "true_labels": true_labels,
            "predicted_labels": found.labels,
            "colours": _colours(found, true_labels, num_context - 1),
        }
        frames = batch["frames"][0].numpy()  # (T, H, W, 3)
        strip = rollout_strip(frames, found.frames, factor=settings.upscale, **arguments)
        save_png(picture, strip)
        if index < len(args.animations):
            moving = rollout_animation(
                frames, found.frames, factor=settings.upscale + 1, **arguments
            )
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


def _colours(found: Decoded, true_labels: np.ndarray | None, last: int) -> np.ndarray:
    """Return colours in which a slot looks like the object that it held in the frame `last`."""
    num_slots = found.masks.shape[1]
    if true_labels is None:
        return slot_colours(num_slots)
    num_objects = int(true_labels.max(initial=0))
    assignment = assign_slots(true_labels[None, last], found.masks[None, last], num_objects)[0]
    background = background_slot(true_labels[last], found.labels[last])
    return slot_colours(num_slots, assignment, background)


def draw_curves(args: argparse.Namespace, settings: Figures) -> None:
    """Draw each metric over the predicted frames, with the baselines."""
    scores = {path.absolute().parent.parent.name: _part_of(path, "metrics") for path in args.scores}
    first = next(iter(scores.values()))
    panels = {}
    for name, entry in first.items():
        label = label_of(name, entry)
        # not known, not computed, or of whole clips
        if not label or entry["mean"] is None or entry["per_frame"] is None:
            continue
        curves = {model: metrics[name]["per_frame"] for model, metrics in scores.items()}
        references = {baseline: entry.get(f"{baseline}_per_frame") for baseline in BASELINES}
        curves |= {key: values for key, values in references.items() if values is not None}
        panels[label] = curves
    title = f"{args.scores[0].stem}: metrics over the predicted frames"
    figure = metric_curves(panels, styles=predictor_styles(list(scores)), title=title)
    save_png(args.output, figure_picture(figure))


def _part_of(path: Path, part: str) -> dict[str, Any]:
    """Read one part of a predictor's scores.

    Raises:
        ValueError: If the file is something else.
    """
    scores = read_score_file(path)
    if scores.get("protocol") is None:
        raise ValueError(
            f"{path} holds no scores of a predictor; expected PREDICTOR/evaluation/PROTOCOL.json"
        )
    return dict(scores[part])


if __name__ == "__main__":
    run(main)

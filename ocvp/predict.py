"""Decompose a video of one's own into slots, and predict how it goes on.

Writes into the folder --output: prediction.h5 (slots, masks and frames), slots.png (what each slot
holds) and, with a predictor, rollout.png, and rollout.gif and rollout.mp4, which move alike. The
prediction may go on past the end of the video.
"""

import argparse
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import torch

from ocvp.batches.own_clips import first_boxes, own_batch
from ocvp.batches.savi_inputs import encode_from_start
from ocvp.batches.windows import Window, check_finite
from ocvp.compute.device import prepare_device
from ocvp.config.tree import Figures
from ocvp.data.clips import Clip, Fit, read_clip
from ocvp.data.prediction_files import write_prediction
from ocvp.models.loading import check_belongs, open_predictor, open_savi
from ocvp.models.rollout import check_buffer, rollout
from ocvp.pictures.animation import gif_rate_note, save_gif, save_mp4
from ocvp.pictures.decoded import decode
from ocvp.pictures.drawing import slots_panel
from ocvp.pictures.prediction import prediction_pictures
from ocvp.pictures.saving import save_picture
from ocvp.runtime.files import all_or_none, check_writable
from ocvp.runtime.logs import start_logging
from ocvp.runtime.program import read_runtime, read_section, run, stage_parser

logger = logging.getLogger(__name__)

PROGRAM = "ocvp.predict"
PRODUCTS = ("prediction.h5", "slots.png", "rollout.png", "rollout.gif", "rollout.mp4")
NUM_THREADS = 2
MAX_FPS = 1000


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program (see the module's description)."""
    args = _parse(argv)
    start_logging(args.log)
    check_writable(args.output / "prediction.h5")
    settings = read_section(Figures, args.config, "--config")
    device = prepare_device(read_runtime(args.runtime).device, NUM_THREADS)
    # --- models
    checkpoints = {"savi": open_savi(args.savi)}
    if args.predictor is not None:
        checkpoints["predictor"] = open_predictor(args.predictor)
        check_belongs(checkpoints["predictor"], checkpoints["savi"])
    savi = checkpoints["savi"].build(device)
    predictor, num_context, num_preds = None, 1, 0
    if "predictor" in checkpoints:
        trained = checkpoints["predictor"]
        num_context = trained.length("num_context", args.num_context)
        num_preds = trained.length("num_preds", args.num_preds)
        predictor = trained.build(device)
        check_buffer(getattr(predictor, "buffer_size", None), num_context)
    # --- frames and slots; whatever else is wrong is said before a long film is read
    boxes = first_boxes(savi, args.boxes)
    clip = _clip(args, savi.resolution, num_context, num_preds)
    batch = own_batch(clip, boxes)
    window = [Window(0, 0)]
    slots = encode_from_start(savi, window, batch, seed=args.seed, purpose="predict")
    check_finite(slots, window, f"the slots of {args.savi}")
    seen = decode(savi, slots[0], "decoding")
    content: dict[str, Any] = {"frames": clip.frames, "slots": slots[0].cpu().numpy()}
    content |= {"reconstruction": seen.frames, "masks": seen.masks}
    attributes = {
        "video": str(args.video),
        "start": args.start,
        "every": args.every,
        **({} if args.fps is None else {"fps": args.fps}),
        "crop": json.dumps(clip.crop),
        "seed": args.seed,
        **{name: checkpoint.digest for name, checkpoint in checkpoints.items()},
    }
    # --- the prediction
    drawn = None
    if predictor is not None:
        with torch.no_grad():
            predicted = rollout(predictor, slots[:, :num_context], num_preds)
        check_finite(predicted, window, "the predicted slots")
        future = decode(savi, predicted[0], "decoding the prediction")
        attributes |= {"num_context": num_context, "num_preds": num_preds}
        content |= {"predicted_slots": predicted[0].cpu().numpy()}
        content |= {"predicted_frames": future.frames, "predicted_masks": future.masks}
        drawn = prediction_pictures(clip.frames, seen, future, num_context, settings.upscale)
    # --- what is written
    panel = slots_panel(clip.frames, seen.objects, seen.masks, factor=settings.upscale)
    paths = [args.output / name for name in PRODUCTS]
    data, slots_picture, rollout_picture, gif, mp4 = paths
    with all_or_none(paths):
        write_prediction(data, content, attributes)
        save_picture(slots_picture, panel)
        if drawn is not None:
            save_picture(rollout_picture, drawn[0])
            save_gif(gif, drawn[1], settings.gif_fps)
            save_mp4(mp4, drawn[1], settings.gif_fps)
    if drawn is not None and (note := gif_rate_note(settings.gif_fps)):
        logger.info("%s", note)
    return 0


def _clip(
    args: argparse.Namespace, resolution: tuple[int, int], num_context: int, num_preds: int
) -> Clip:
    """Read the frames to see: all of them without a predictor."""
    clip = read_clip(
        args.video,
        resolution=resolution,
        fit=args.fit,
        start=args.start,
        every=args.every,
        max_frames=num_context + num_preds if args.predictor else None,
        fps=args.fps,
        pattern=args.pattern,
    )
    if len(clip.frames) < num_context:
        raise ValueError(
            f"{args.video} has {len(clip.frames)} frames from frame {args.start} on (--every "
            f"{args.every}); the context alone needs {num_context}: give a longer video or a "
            "smaller --num-context"
        )
    return clip


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = stage_parser(__doc__, PROGRAM, config_help="the section `figures` of the config")
    files = parser.add_argument_group("files")
    files.add_argument(
        "--video",
        type=Path,
        required=True,
        help="film (MP4, WebM, GIF, ...), or folder of PNG or JPEG frames in the order of their "
        "numbers",
    )
    files.add_argument("--savi", type=Path, required=True, help="checkpoint of a SAVi (savi.pt)")
    files.add_argument(
        "--predictor",
        type=Path,
        help="checkpoint of a predictor on this SAVi, predictor.pt (default: none, slots only)",
    )
    files.add_argument(
        "--boxes",
        type=Path,
        help="for a SAVi that starts from boxes or centres: those of the first frame that is "
        "used, a CSV or JSON file with rows y_min, x_min, y_max, x_max, fractions of the frame",
    )
    files.add_argument("--output", type=Path, required=True, help="folder to write into")
    frames = parser.add_argument_group("frames")
    frames.add_argument(
        "--num-context", type=int, metavar="N", help="frames given (default: as in its training)"
    )
    frames.add_argument(
        "--num-preds", type=int, metavar="N", help="frames predicted (default: as in its training)"
    )
    frames.add_argument(
        "--start", type=int, default=0, metavar="N", help="frames to skip (default: 0)"
    )
    frames.add_argument(
        "--every",
        type=int,
        default=1,
        metavar="N",
        help="take each N-th frame, for a film with more frames a second than the SAVi was "
        "trained on (default: 1)",
    )
    frames.add_argument(
        "--fps",
        type=float,
        metavar="RATE",
        help="sample a film at this rate, before --start and --every, where its frames are not "
        "evenly spaced in time (default: its own frames)",
    )
    frames.add_argument(
        "--pattern",
        metavar="NAMES",
        help="which pictures of a folder are its frames, 'rgba_*' for instance (default: all)",
    )
    frames.add_argument(
        "--fit",
        choices=get_args(Fit),
        default="crop",
        help="how frames of another shape fit: cut out the middle, or stretch (default: crop)",
    )
    parser.add_argument_group("run").add_argument(
        "--seed", type=int, default=0, help="seed of the first slots' noise (default: 0)"
    )
    args = parser.parse_args(argv)
    for name, least in (("start", 0), ("every", 1)):
        if getattr(args, name) < least:
            parser.error(f"--{name} is {getattr(args, name)}; it must be at least {least}")
    if args.fps is not None and not 0 < args.fps <= MAX_FPS:
        parser.error(f"--fps is {args.fps:g}; it must be above 0 and at most {MAX_FPS}")
    return args


if __name__ == "__main__":
    run(main)

"""Score a slot predictor under one protocol, beside two copies of the last context frame.

A window is frames 0 to num_context + num_preds of each video. `copy_last_frame` repeats the true
last context frame; `copy_last_slots` repeats SAVi's slots of it; `ceiling` decodes SAVi's own slots
of the true future.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ocvp.batches.windows import (
    Window,
    WindowReader,
    check_buffer,
    check_finite,
    first_windows,
    to_model,
)
from ocvp.compute.device import prepare_device
from ocvp.config.tree import PredictorScoring
from ocvp.data.slot_files import check_slots
from ocvp.data.videos import VideoFile
from ocvp.evaluation.bootstrap import paired_bootstrap
from ocvp.evaluation.metrics import BASELINES, LOWER_IS_BETTER, NO_MASKS, PREDICTOR_METRICS
from ocvp.evaluation.scoring import (
    FrameScorer,
    Scores,
    concatenate,
    per_video,
    plain,
    report,
    score_output,
)
from ocvp.evaluation.tracking_metrics import assign_slots, object_motion
from ocvp.models.loading import check_belongs, open_predictor, open_savi
from ocvp.models.rollout import rollout
from ocvp.models.savi import SAVi
from ocvp.records.records import Making
from ocvp.runtime.environment import made_by
from ocvp.runtime.files import check_writable, file_digest, write_json
from ocvp.runtime.program import (
    read_runtime,
    read_section,
    run,
    stage_parser,
    start_logging,
)
from ocvp.runtime.progress import progress

PROGRAM = "ocvp.evaluate_predictor"
COMPARED = ("centre_error", "slot_mse", "miou")
VARIANTS = ("prediction", "copy_last_slots", "ceiling")


class BatchScores(NamedTuple):
    """The scores of one batch, for each variant, and how far its objects move."""

    scores: dict[str, Scores]
    motion: np.ndarray
    """Farthest that an object's centre gets, in pixels, (B,); NaN where there are no masks."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program (see the module's description)."""
    args = _parse(argv)
    start_logging(args.log)
    making = Making("score_predictor", argv)
    check_writable(args.output)
    stage = read_section(PredictorScoring, args.config, "--config")
    runtime = read_runtime(args.runtime)
    device = prepare_device(runtime.device, stage.num_threads)
    environment = made_by(device)
    checkpoints = {"savi": open_savi(args.savi), "predictor": open_predictor(args.predictor)}
    savi, predictor = (checkpoint.build(device) for checkpoint in checkpoints.values())
    check_belongs(checkpoints["predictor"], checkpoints["savi"])
    digests = {name: checkpoint.digest for name, checkpoint in checkpoints.items()}
    digests["videos"] = file_digest(args.videos)

    protocol = stage.protocol
    with VideoFile(args.videos) as videos:
        num_videos, num_frames = videos.num_videos, videos.num_frames
        has_masks = videos.has("masks")
    check_slots(
        args.slots,
        weights_digest=digests["savi"],
        num_videos=num_videos,
        num_frames=num_frames,
    )
    length = protocol.num_context + protocol.num_preds
    if length > num_frames:
        raise ValueError(
            f"protocol.num_context + num_preds is {length}, but the videos of {args.videos} have "
            f"{num_frames} frames"
        )
    if not protocol.cut_context:
        check_buffer(getattr(predictor, "buffer_size", None), protocol.num_context)
    files = {name: getattr(args, name) for name in ("savi", "predictor", "videos", "slots")}
    making.read(files, {files[name]: digest for name, digest in digests.items()})
    sources = {"frames": (args.videos, "frames"), "slots": (args.slots, "slots")}
    sources |= {"masks": (args.videos, "masks")} if has_masks else {}
    reader = WindowReader(sources, length, residency="disk")
    scorer = FrameScorer(savi.resolution, device)
    batches = []
    plan = first_windows(num_videos, runtime.batch_videos)
    with progress(description="scoring predictor", total=num_videos) as bar, torch.no_grad():
        for windows, batch in reader.batches(plan, runtime.num_workers or 0):
            batches.append(
                score_batch(savi, predictor, windows, batch, protocol.num_context, scorer)
            )
            bar.update(len(windows))

    scores = {
        variant: concatenate(batch.scores[variant] for batch in batches)
        for variant in (*VARIANTS, "copy_last_frame")
    }
    moving = np.concatenate([batch.motion for batch in batches]) >= protocol.moving_pixels
    result = {
        "protocol": protocol.model_dump(mode="json"),
        "num_videos": num_videos,
        "digests": digests,
        "seed": args.seed,
        "config": stage.model_dump(mode="json"),
        "trained": {name: checkpoint.trained for name, checkpoint in checkpoints.items()},
        "made_by": environment,
        "metrics": summarize_scores(scores, scorer.reasons),
        "comparisons": compare(scores, moving, args.seed) if has_masks else {"reason": NO_MASKS},
        "per_video": {
            name: plain(per_video(values)) for name, values in scores["prediction"].items()
        },
    }
    write_json(args.output, result)
    making.finish([args.output], stage, seed=args.seed, device=device)
    return 0


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = stage_parser(
        __doc__, PROGRAM, config_help="`protocol`, an entry of `evaluation`, and its threads"
    )
    files = parser.add_argument_group("files")
    files.add_argument("--savi", type=Path, required=True, help="checkpoint of the SAVi (savi.pt)")
    files.add_argument(
        "--predictor", type=Path, required=True, help="checkpoint of the predictor (predictor.pt)"
    )
    files.add_argument("--videos", type=Path, required=True, help="videos to score on (HDF5)")
    files.add_argument("--slots", type=Path, required=True, help="SAVi's slots of them (HDF5)")
    files.add_argument("--output", type=Path, required=True, help="scores to write (JSON)")
    parser.add_argument_group("run").add_argument(
        "--seed", type=int, default=0, help="seed of the bootstrap (default: 0)"
    )
    return parser.parse_args(argv)


def score_batch(
    savi: SAVi,
    predictor: nn.Module,
    windows: Sequence[Window],
    batch: Mapping[str, Tensor],
    num_context: int,
    scorer: FrameScorer,
) -> BatchScores:
    """Roll out one batch of windows, decode, and score every variant.

    Args:
        savi: The SAVi that made the slots.
        predictor: The predictor, in evaluation mode.
        windows: The windows, for messages.
        batch: `frames` uint8 (B, T, H, W, 3), `slots` (B, T, N, D), and `masks` uint8
            (B, T, H, W) where there are any.
        num_context: Frames that are given; the others are predicted.
        scorer: For the pixel metrics.

    Raises:
        ValueError: If a prediction is not finite.
    """
    device = next(savi.parameters()).device
    slots = batch["slots"].to(device)
    frames = to_model(batch["frames"], device)
    context, future = slots[:, :num_context], slots[:, num_context:]
    truth = frames[:, num_context:]
    labels, assignment = None, None
    motion = np.full(len(slots), np.nan)
    if "masks" in batch:
        labels = batch["masks"].numpy()
        num_objects = int(labels.max(initial=0))
        last_masks = savi.decode(context[:, -1]).masks.squeeze(-3).cpu().numpy()
        assignment = assign_slots(labels[:, num_context - 1], last_masks, num_objects)
        motion = object_motion(labels[:, num_context - 1 :], num_objects)
        labels = labels[:, num_context:]

    prediction = rollout(predictor, context, future.shape[1])
    check_finite(prediction, windows, "the predicted slots")
    variants = {
        "prediction": prediction,
        "copy_last_slots": context[:, -1:].expand_as(future),
        "ceiling": future,
    }
    scores = {}
    for name, variant in variants.items():
        scores[name] = score_output(savi.decode(variant), truth, scorer, labels, assignment)
        squared = (variant - future).square().mean(dim=(-2, -1))
        scores[name]["slot_mse"] = squared.cpu().numpy().astype(np.float64)
    held = frames[:, num_context - 1 : num_context].expand_as(truth)
    scores["copy_last_frame"] = scorer.score(held, truth)
    return BatchScores(scores, motion)


def summarize_scores(scores: Mapping[str, Scores], reasons: Mapping[str, str]) -> dict[str, Any]:
    """Return, for each metric, the prediction's mean and curve with those of the baselines."""
    metrics = {}
    for name in PREDICTOR_METRICS:
        metrics[name] = report(name, scores["prediction"], reasons)
        for baseline in BASELINES:
            entry = report(name, scores[baseline], reasons)
            metrics[name][baseline] = entry["mean"]
            metrics[name][f"{baseline}_per_frame"] = entry["per_frame"]
    return metrics


def compare(scores: Mapping[str, Scores], moving: np.ndarray, seed: int) -> dict[str, Any]:
    """Compare the prediction with copy_last_slots on the videos in which objects move.

    Args:
        scores: Scores by variant.
        moving: Which videos count, (V,).
        seed: Seed of the bootstrap.

    Returns:
        For each compared metric: the means of all three variants; `gap_closed`, the share of the
        way from copy_last_slots to the ceiling; and paired bootstrap intervals over videos of
        `gain` (better than copy_last_slots by) and `beyond_half_gap` (gain minus half the gap).
    """
    result: dict[str, Any] = {"subset": "moving", "num_videos": int(moving.sum())}
    for name in COMPARED:
        sign = -1.0 if name in LOWER_IS_BETTER else 1.0
        prediction, copy, ceiling = (
            sign * per_video(scores[variant][name])[moving] for variant in VARIANTS
        )
        defined = ~np.isnan(prediction + copy + ceiling)
        if not defined.any():
            result[name] = {"reason": "no video in which objects move"}
            continue
        gain, gap = (prediction - copy)[defined], (ceiling - copy)[defined]
        result[name] = {
            **{
                # + 0.0 turns the -0.0 of a perfect error into 0.0
                variant: float(sign * values[defined].mean()) + 0.0
                for variant, values in zip(VARIANTS, (prediction, copy, ceiling), strict=True)
            },
            "gap_closed": float(gain.mean() / gap.mean()) if gap.mean() else None,
            "gain": paired_bootstrap(gain, seed=seed)._asdict(),
            "beyond_half_gap": paired_bootstrap(gain - gap / 2, seed=seed)._asdict(),
        }
    return result


if __name__ == "__main__":
    run(main)

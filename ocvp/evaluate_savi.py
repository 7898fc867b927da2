"""Score a SAVi's decomposition, beside two segmenters that know nothing of objects."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ocvp.batches.savi_inputs import savi_inputs, video_sources
from ocvp.batches.windows import Window, WindowReader, check_finite, first_windows
from ocvp.compute.device import prepare_device
from ocvp.compute.randomness import derived_seed
from ocvp.config.savi import SaviScoring
from ocvp.data.videos import VideoFile
from ocvp.evaluation.metrics import MASK_METRICS, PIXEL_METRICS
from ocvp.evaluation.naive_segmenters import held_boxes, kmeans_colour
from ocvp.evaluation.scoring import (
    FrameScorer,
    Scores,
    concatenate,
    per_video,
    plain,
    report,
    score_labels,
    score_output,
)
from ocvp.models.loading import open_savi
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

PROGRAM = "ocvp.evaluate_savi"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program (see the module's description)."""
    args = _parse(argv)
    start_logging(args.log)
    making = Making("score_savi", argv)
    check_writable(args.output)
    stage = read_section(SaviScoring, args.config, "--config")
    runtime = read_runtime(args.runtime)
    device = prepare_device(runtime.device, stage.num_threads)
    environment = made_by(device)
    checkpoint = open_savi(args.savi)
    savi = checkpoint.build(device)

    with VideoFile(args.videos) as videos:
        num_videos, num_frames = videos.num_videos, videos.num_frames
        has_masks, has_boxes = videos.has("masks"), videos.has("boxes")
    if (stage.evaluation.num_frames or 0) > num_frames:
        raise ValueError(
            f"evaluation.num_frames is {stage.evaluation.num_frames}, but the videos of "
            f"{args.videos} have {num_frames} frames"
        )
    files = {"savi": args.savi, "videos": args.videos}
    digests = {"savi": checkpoint.digest, "videos": file_digest(args.videos)}
    making.read(files, {files[name]: digest for name, digest in digests.items()})
    num_frames = stage.evaluation.num_frames or num_frames
    sources = video_sources(savi, args.videos)
    sources |= {"masks": (args.videos, "masks")} if has_masks else {}
    sources |= {"boxes": (args.videos, "boxes")} if has_boxes else {}
    reader = WindowReader(sources, num_frames, residency="disk")
    scorer = FrameScorer(savi.resolution, device)
    scores: list[Scores] = []
    naive: dict[str, list[Scores]] = {"kmeans_colour": [], "held_boxes": []}
    plan = first_windows(num_videos, runtime.batch_videos)
    with progress(description="scoring SAVi", total=num_videos) as bar, torch.no_grad():
        for windows, batch in reader.batches(plan, runtime.num_workers or 0):
            inputs = savi_inputs(savi, windows, batch, seed=args.seed, purpose="score")
            labels = batch["masks"].numpy() if has_masks else None
            output = savi(**inputs)
            check_finite(output.slots, windows, f"the slots of {args.savi}")
            scores.append(score_output(output, inputs["frames"], scorer, labels))
            if labels is not None:
                colours = _kmeans(batch["frames"].numpy(), windows, savi.num_slots, args.seed)
                naive["kmeans_colour"].append(score_labels(labels, colours))
                if has_boxes:
                    held = _held(batch["boxes"].numpy(), labels)
                    naive["held_boxes"].append(score_labels(labels, held))
            bar.update(len(windows))

    joined = concatenate(scores)
    metrics: dict[str, Any] = {
        name: report(name, joined, scorer.reasons) for name in (*PIXEL_METRICS, *MASK_METRICS)
    }
    baselines = {name: concatenate(parts) for name, parts in naive.items() if parts}
    for name in MASK_METRICS:
        metrics[name] |= {
            baseline: report(name, values, {})["mean"] for baseline, values in baselines.items()
        }
    result = {
        "split": stage.evaluation.split,
        "num_frames": num_frames,
        "num_videos": num_videos,
        "digests": digests,
        "seed": args.seed,
        "config": stage.model_dump(mode="json"),
        "trained": {"savi": checkpoint.trained},
        "made_by": environment,
        "metrics": metrics,
        "per_video": {name: plain(per_video(values)) for name, values in joined.items()},
    }
    write_json(args.output, result)
    making.finish([args.output], stage, seed=args.seed, device=device)
    return 0


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = stage_parser(
        __doc__, PROGRAM, config_help="`evaluation` of an entry of `savi`, and `num_threads`"
    )
    files = parser.add_argument_group("files")
    files.add_argument("--savi", type=Path, required=True, help="checkpoint of the SAVi (savi.pt)")
    files.add_argument("--videos", type=Path, required=True, help="videos to score on (HDF5)")
    files.add_argument("--output", type=Path, required=True, help="scores to write (JSON)")
    parser.add_argument_group("run").add_argument(
        "--seed", type=int, default=0, help="seed of noise and k-means (default: 0)"
    )
    return parser.parse_args(argv)


def _kmeans(
    frames: np.ndarray, windows: Sequence[Window], num_segments: int, seed: int
) -> np.ndarray:
    """Segment each clip (T, H, W, 3) by colour, into as many segments as the SAVi has slots."""
    return np.stack(
        [
            kmeans_colour(clip, num_segments, derived_seed(seed, "k-means", window.video) % 2**32)
            for clip, window in zip(frames, windows, strict=True)
        ]
    )


def _held(boxes: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Hold each clip's first boxes (K, 4) over its frames."""
    return np.stack([held_boxes(clip[0], *labels.shape[1:]) for clip in boxes])


if __name__ == "__main__":
    run(main)

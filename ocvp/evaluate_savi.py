"""Score a SAVi's decomposition, beside two segmenters that know nothing of objects."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from ocvp.compute.device import prepare_device
from ocvp.config.savi import SaviScoring
from ocvp.data.videos import VideoFile
from ocvp.evaluation.savi_scores import score_savi
from ocvp.models.loading import open_savi
from ocvp.records.records import Making
from ocvp.runtime.environment import made_by
from ocvp.runtime.files import all_or_none, check_writable, file_digest, write_json
from ocvp.runtime.logs import start_logging
from ocvp.runtime.program import read_runtime, read_section, run, stage_parser

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
    if (stage.evaluation.num_frames or 0) > num_frames:
        raise ValueError(
            f"evaluation.num_frames is {stage.evaluation.num_frames}, but the videos of "
            f"{args.videos} have {num_frames} frames"
        )
    num_frames = stage.evaluation.num_frames or num_frames
    files = {"savi": args.savi, "videos": args.videos}
    digests = {"savi": checkpoint.digest, "videos": file_digest(args.videos)}
    making.read(files, {files[name]: digest for name, digest in digests.items()})
    # --- scores, and what made them
    scores = score_savi(savi, args.videos, num_frames, runtime, args.seed, name=str(args.savi))
    result = {
        "split": stage.evaluation.split,
        "num_frames": num_frames,
        "num_videos": num_videos,
        "digests": digests,
        "seed": args.seed,
        "config": stage.model_dump(mode="json"),
        "trained": {"savi": checkpoint.trained},
        "made_by": environment,
        **scores,
    }
    with all_or_none([args.output]):
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


if __name__ == "__main__":
    run(main)

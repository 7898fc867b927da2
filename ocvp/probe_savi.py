"""Fit probes on the slots of a SAVi, and score what they read of the objects.

They are fitted on one split, the train split in the workflow, and scored on another, that of the
SAVi's evaluation. Each object has the slot that fits its masks best over the clip.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from ocvp.compute.device import prepare_device
from ocvp.config.savi import SaviScoring
from ocvp.data.slot_files import check_slots
from ocvp.data.videos import VideoFile
from ocvp.evaluation.probes import save_probes
from ocvp.evaluation.savi_probes import fit_probes, probe_savi
from ocvp.models.loading import open_savi
from ocvp.records.records import Making
from ocvp.runtime.environment import made_by
from ocvp.runtime.files import all_or_none, check_writable, file_digest, write_json
from ocvp.runtime.logs import start_logging
from ocvp.runtime.program import read_runtime, read_section, run, stage_parser

PROGRAM = "ocvp.probe_savi"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program (see the module's description)."""
    args = _parse(argv)
    start_logging(args.log)
    making = Making("probe_savi", argv)
    outputs = [args.output, args.probes]
    for path in outputs:
        check_writable(path)
    stage = read_section(SaviScoring, args.config, "--config")
    runtime = read_runtime(args.runtime)
    device = prepare_device(runtime.device, stage.num_threads)
    environment = made_by(device)
    checkpoint = open_savi(args.savi)
    savi = checkpoint.build(device)

    for videos_path, slots_path in (
        (args.train_videos, args.train_slots),
        (args.videos, args.slots),
    ):
        with VideoFile(videos_path) as videos:
            shape = {"num_videos": videos.num_videos, "num_frames": videos.num_frames}
        check_slots(slots_path, weights_digest=checkpoint.digest, **shape)
    num_frames = stage.evaluation.num_frames or shape["num_frames"]
    if num_frames > shape["num_frames"]:
        raise ValueError(
            f"evaluation.num_frames is {num_frames}, but the videos of {args.videos} have "
            f"{shape['num_frames']} frames"
        )
    names = ("train_videos", "train_slots", "videos", "slots")
    digests = {"savi": checkpoint.digest, "videos": file_digest(args.videos)}
    making.read(
        {name: getattr(args, name) for name in ("savi", *names)},
        {args.savi: digests["savi"], args.videos: digests["videos"]},
    )
    # --- probes, their scores, and what made them
    probes = fit_probes(savi, args.train_videos, args.train_slots, runtime, args.seed)
    metrics = probe_savi(savi, probes, args.videos, args.slots, num_frames, runtime)
    result = {
        "split": stage.evaluation.split,
        "num_frames": num_frames,
        "num_videos": shape["num_videos"],
        "digests": digests,
        "seed": args.seed,
        "config": stage.model_dump(mode="json"),
        "trained": {"savi": checkpoint.trained},
        "made_by": environment,
        "metrics": metrics,
    }
    with all_or_none(outputs):
        write_json(args.output, result)
        save_probes(args.probes, probes, checkpoint.digest)
        making.finish(outputs, stage, seed=args.seed, device=device)
    return 0


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = stage_parser(
        __doc__, PROGRAM, config_help="`evaluation` of an entry of `savi`, and `num_threads`"
    )
    files = parser.add_argument_group("files")
    files.add_argument("--savi", type=Path, required=True, help="checkpoint of the SAVi (savi.pt)")
    files.add_argument(
        "--train-videos", type=Path, required=True, help="videos with masks to fit on (HDF5)"
    )
    files.add_argument(
        "--train-slots", type=Path, required=True, help="SAVi's slots of them (HDF5)"
    )
    files.add_argument("--videos", type=Path, required=True, help="videos to score on (HDF5)")
    files.add_argument("--slots", type=Path, required=True, help="SAVi's slots of them (HDF5)")
    files.add_argument("--output", type=Path, required=True, help="scores to write (JSON)")
    files.add_argument(
        "--probes", type=Path, required=True, help="probes to write (a file of tensors)"
    )
    parser.add_argument_group("run").add_argument(
        "--seed", type=int, default=0, help="seed of the videos to fit on and the MLPs (default: 0)"
    )
    return parser.parse_args(argv)


if __name__ == "__main__":
    run(main)

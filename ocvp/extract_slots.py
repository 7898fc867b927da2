"""Extract the slots of every frame of a split with a trained SAVi, without decoding them.

With --chunk, only those of some videos; with --chunks, such chunks are joined. Any process can make
any chunk, and the joined file does not depend on how the split was cut.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ocvp.batches.savi_inputs import encode_from_start, video_sources
from ocvp.batches.windows import WindowReader, check_finite, first_windows
from ocvp.compute.device import prepare_device
from ocvp.config.savi import Encoding
from ocvp.config.tree import Runtime
from ocvp.data.chunks import videos_of_chunk
from ocvp.data.slot_files import join_slots, write_slots
from ocvp.data.videos import VideoFile
from ocvp.models.loading import open_savi
from ocvp.models.savi import SAVi
from ocvp.records.records import Making
from ocvp.runtime.files import all_or_none, check_writable
from ocvp.runtime.logs import start_logging
from ocvp.runtime.program import read_runtime, read_section, run, stage_parser
from ocvp.runtime.progress import progress

# Shapes: V videos, T frames, N slots, D slot_dim.
PROGRAM = "ocvp.extract_slots"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program (see the module's description)."""
    args = _parse(argv)
    start_logging(args.log)
    making = Making("encode_slots", argv)
    check_writable(args.output)
    stage = read_section(Encoding, args.config, "--config")
    runtime = read_runtime(args.runtime)
    # joining computes nothing
    device = prepare_device("cpu" if args.chunks else runtime.device, stage.num_threads)
    checkpoint = open_savi(args.savi)
    savi, digest = checkpoint.build(device), checkpoint.digest
    # --- what there is to encode
    with VideoFile(args.videos) as videos:
        num_videos, num_frames = videos.num_videos, videos.num_frames
        split = videos.attributes["split"]
    shape = (num_videos, num_frames, savi.num_slots, savi.slot_dim)  # (V, T, N, D)
    # --- one chunk
    if args.chunk is not None:
        if not args.videos_per_chunk or args.videos_per_chunk < 1:
            raise ValueError(
                f"--videos-per-chunk is {args.videos_per_chunk}; with --chunk it must be at least 1"
            )
        part = videos_of_chunk(args.chunk, args.videos_per_chunk, num_videos, split)
        batches = encoded(savi, args.savi, args.videos, part, runtime, args.seed)
        write_slots(args.output, batches, (len(part), *shape[1:]), digest, first_video=part.start)
        return 0  # the workflow deletes chunks, and would leave what accompanies them behind
    # --- the whole split, joined from its chunks or encoded here
    making.read({"savi": args.savi, "videos": args.videos}, {args.savi: digest})
    joined = {"joined": len(args.chunks)} if args.chunks else {}
    with all_or_none([args.output]):
        if args.chunks:
            join_slots(args.output, args.chunks, shape, digest)
        else:
            batches = encoded(savi, args.savi, args.videos, range(num_videos), runtime, args.seed)
            write_slots(args.output, batches, shape, digest)
        making.finish(
            [args.output], stage, seed=args.seed, device=None if args.chunks else device, **joined
        )
    return 0


def encoded(
    savi: SAVi, checkpoint: Path, path: Path, part: range, runtime: Runtime, seed: int
) -> Iterator[np.ndarray]:
    """Yield the slots of consecutive videos, batch by batch.

    Args:
        savi: The model.
        checkpoint: Where it comes from, for messages.
        path: Videos of a split.
        part: Indices of the videos to encode.
        runtime: How many at once.
        seed: Seed of the first slots' noise, which is a function of it and of the video.

    Raises:
        ValueError: If slots are not finite, naming the video.
    """
    with VideoFile(path) as videos:
        num_frames, split = videos.num_frames, videos.attributes["split"]
    reader = WindowReader(video_sources(savi, path), num_frames, residency="disk")
    plan = first_windows(len(part), runtime.batch_videos, part.start)
    with progress(description="extracting slots", total=len(part)) as bar:
        for windows, batch in reader.batches(plan, runtime.num_workers or 0):
            slots = encode_from_start(savi, windows, batch, seed=seed, purpose=f"slots {split}")
            check_finite(slots, windows, f"the slots of {checkpoint}")
            yield slots.cpu().numpy()
            bar.update(len(windows))


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = stage_parser(__doc__, PROGRAM, config_help="`num_threads`")
    files = parser.add_argument_group("files")
    files.add_argument("--savi", type=Path, required=True, help="checkpoint of the SAVi (savi.pt)")
    files.add_argument("--videos", type=Path, required=True, help="videos of the split (HDF5)")
    files.add_argument("--output", type=Path, required=True, help="slots to write (HDF5)")
    how = parser.add_argument_group("run")
    how.add_argument(
        "--seed", type=int, default=0, help="seed of the first slots' noise (default: 0)"
    )
    chunks = how.add_mutually_exclusive_group()
    chunks.add_argument("--chunk", type=int, help="make this chunk, from 0 (default: the whole)")
    chunks.add_argument(
        "--chunks", type=Path, nargs="+", help="join these, in order (default: none)"
    )
    how.add_argument("--videos-per-chunk", type=int, help="videos of each chunk (default: none)")
    return parser.parse_args(argv)


if __name__ == "__main__":
    run(main)

"""Extract the slots of every frame of a split with a trained SAVi, without decoding them."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ocvp.checkpoint import load_savi, read_checkpoint
from ocvp.config_models import Encoding
from ocvp.device import prepare_device
from ocvp.files import check_writable
from ocvp.program import (
    read_runtime,
    read_section,
    run,
    stage_parser,
    start_logging,
    write_companions,
)
from ocvp.progress import progress
from ocvp.savi_inputs import encode_from_start, video_sources
from ocvp.slot_files import write_slots
from ocvp.videos import VideoFile
from ocvp.windows import WindowReader, check_finite, first_windows

PROGRAM = "ocvp.extract_slots"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program (see the module's description)."""
    parser = stage_parser(__doc__, PROGRAM, "`num_threads`")
    files = parser.add_argument_group("files")
    files.add_argument("--savi", type=Path, required=True, help="checkpoint of the SAVi (savi.pt)")
    files.add_argument("--videos", type=Path, required=True, help="videos of the split (HDF5)")
    files.add_argument("--output", type=Path, required=True, help="slots to write (HDF5)")
    parser.add_argument_group("run").add_argument(
        "--seed", type=int, default=0, help="seed of the first slots' noise (default: 0)"
    )
    args = parser.parse_args(argv)
    start_logging(args.log)
    check_writable(args.output)
    stage = read_section(Encoding, args.config, "--config")
    runtime = read_runtime(args.runtime)
    savi = load_savi(args.savi, prepare_device(runtime.device, stage.num_threads))
    digest = read_checkpoint(args.savi, kinds=("savi",))["weights_digest"]

    with VideoFile(args.videos) as videos:
        num_videos, num_frames = videos.num_videos, videos.num_frames
        purpose = f"slots {videos.attributes['split']}"
    reader = WindowReader(video_sources(savi, args.videos), num_frames, residency="disk")
    plan = first_windows(num_videos, runtime.batch_videos)

    def batches() -> Iterator[np.ndarray]:
        with progress(description="extracting slots", total=num_videos) as bar:
            for windows, batch in reader.batches(plan, runtime.num_workers or 0):
                slots = encode_from_start(savi, windows, batch, seed=args.seed, purpose=purpose)
                check_finite(slots, windows, f"the slots of {args.savi}")
                yield slots.cpu().numpy()
                bar.update(len(windows))

    shape = (num_videos, num_frames, savi.num_slots, savi.slot_dim)
    write_slots(args.output, batches(), shape, digest)
    write_companions(args.output, PROGRAM, stage, argv)
    return 0


if __name__ == "__main__":
    run(main)

"""Measure how long the embedded data set takes to make, in ms a frame on one core.

    python benchmarks/tabletop_speed.py [--check]

With --check the exit status is 1 where 64x64 takes more than 10 ms a frame. Each figure is time of
the processor in the fastest of several rounds: what else the machine does only slows a round down.
"""

import argparse
import sys
import time

from ocvp.config.datasets import TabletopDataset
from ocvp.data.tabletop.simulation import simulate

MAX_MS = 10.0
NUM_FRAMES = 30
VIDEOS_PER_ROUND = 4


def measure(side: int, fields: tuple[str, ...], num_rounds: int) -> float:
    """Return ms a frame of videos of side x side pixels with up to 5 objects."""
    rounds = []
    dataset = TabletopDataset(
        kind="tabletop",
        resolution=(side, side),
        num_frames=NUM_FRAMES,
        num_videos={"train": VIDEOS_PER_ROUND, "val": 1, "test": 1},
        fields=fields,
    )
    for _ in range(num_rounds):
        start = time.process_time()
        for video in range(VIDEOS_PER_ROUND):
            simulate(dataset, "train", video)
        rounds.append(time.process_time() - start)
    return 1000 * min(rounds) / VIDEOS_PER_ROUND / NUM_FRAMES


def main() -> int:
    """Print the table; see the module's head."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="fail above the bound")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each figure")
    args = parser.parse_args()
    slowest = 0.0
    for side in (32, 64):
        for fields in ((), ("flow", "depth")):
            milliseconds = measure(side, fields, args.rounds)
            what = "frames, masks, boxes, states" + "".join(f", {field}" for field in fields)
            print(f"{side}x{side}  {milliseconds:5.2f} ms a frame  ({what})")
            if side == 64:
                slowest = max(slowest, milliseconds)
    if args.check and slowest > MAX_MS:
        print(f"64x64 takes {slowest:.2f} ms a frame; at most {MAX_MS:g} are allowed")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

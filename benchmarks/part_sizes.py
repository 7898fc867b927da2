"""Compare how many frames SAVi's step decodes at once: seconds of the processor, and memory.

    python benchmarks/part_sizes.py [--frames 0 2 5 12] [--rounds 5]

A step is the forward and backward pass on 4 clips of 6 frames, of Obj3D's model in float32 with one
thread. 0 is one backward pass over all frames, from torch's own mean. Seconds are those that the
process computed (other programs make them more, but by less than the time that passes); all sizes
take turns. Memory is the most that a process of its own had (Linux).
"""

import argparse
import multiprocessing
import re
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

from ocvp.compute.device import prepare_device
from ocvp.models.savi import SAVi
from ocvp.training import decoding
from ocvp.training.losses import savi_loss, savi_squares
from speed.subject import read_subject, savi_stage

SIDE, CLIPS, LENGTH = 64, 4, 6


def step_of() -> Callable[[int], None]:
    """Return a step that decodes some frames at once; 0: all, without parts."""
    prepare_device("cpu", 1)
    torch.manual_seed(0)
    model = savi_stage(read_subject("obj3d", "cpu")).model
    savi = SAVi(**model.model_dump(), resolution=(SIDE, SIDE)).train()
    frames = torch.rand(CLIPS, LENGTH, 3, SIDE, SIDE)

    def squares_of(slots, truths):
        output, predicted = savi.decode_with_targets(slots)
        return savi_squares(output.reconstruction, predicted, truths)

    def step(size: int) -> None:
        savi.zero_grad()
        slots = savi.encode(frames)
        if size == 0:
            savi_loss(savi.decode(slots).reconstruction, frames).backward()
            return
        decoding.PIXELS_ON_CPU = size * savi.num_slots * SIDE * SIDE
        truths, parameters = {"frames": frames.flatten(0, 1)}, list(savi.decoder.parameters())
        slots = slots.flatten(0, 1)
        decoding.mean_squares(squares_of, slots, truths, {"frames": 1.0}, parameters)[0].backward()

    return step


def most_memory(size: int) -> float:
    """Return the most MB that this process takes in three steps."""
    step = step_of()
    for _ in range(3):
        step(size)
    status = Path("/proc/self/status").read_text()
    return int(re.findall(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)[0]) / 1e3


def main() -> None:
    """Measure and print; see the module's head."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--frames", type=int, nargs="+", default=[0, 1, 2, 5, 12])
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        memory = pool.map(most_memory, args.frames, chunksize=1)
    step = step_of()
    seconds: dict[int, list[float]] = {size: [] for size in args.frames}
    for number in range(args.rounds + 1):
        for size, taken in seconds.items():
            start = time.process_time()
            step(size)
            if number > 0:  # the first round is slower
                taken.append(time.process_time() - start)
    print("frames at once   seconds (least to largest)   against the first   memory")
    first = seconds[args.frames[0]]
    for (size, taken), most in zip(seconds.items(), memory, strict=True):
        ratio = statistics.median(own / other for own, other in zip(taken, first, strict=True))
        spread = f"{statistics.median(taken):.2f} ({min(taken):.2f} to {max(taken):.2f})"
        print(f"{size or 'all':>14}   {spread:<27} {ratio:>19.2f} {most:>7.0f} MB")


if __name__ == "__main__":
    main()

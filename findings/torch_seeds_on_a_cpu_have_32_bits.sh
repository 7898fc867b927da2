#!/usr/bin/env bash
# PyTorch: of a seed, a CPU's generator uses the lower 32 bits, and reports all 64.
#
# Version:   torch 2.13.0, CPU.
# Expected:  manual_seed takes 64 bits and initial_seed gives them back, so two seeds that differ
#            anywhere make different numbers.
# Behaviour: seeds that differ by a multiple of 2**32 make the same numbers, and initial_seed tells
#            them apart all the same.
# Whom it hurts: who packs a run, a video and a frame into one number, the run in the upper half: all
#            runs draw the same noise.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m pip install --quiet --disable-pip-version-check --target "$folder" torch==2.13.0 numpy==2.3.5
PYTHONPATH="$folder" python3 - <<'PYTHON'
import torch

VIDEO = 5


def draw(run):
    """Return the seed of a run's noise for a video, and the noise."""
    generator = torch.Generator().manual_seed((run << 32) + VIDEO)
    return generator.initial_seed(), torch.randn(3, generator=generator).tolist()


found = [draw(run) for run in range(3)]
for run, (seed, noise) in enumerate(found):
    print(f"torch {torch.__version__}: run {run}, seed {seed:11}: {[round(x, 4) for x in noise]}")
assert len({seed for seed, _ in found}) == 3
assert found[0][1] == found[1][1] == found[2][1]
PYTHON

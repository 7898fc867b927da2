#!/usr/bin/env bash
# PyTorch: the backward pass of its attention on a CPU takes many times as long in bfloat16.
#
# Version:   torch 2.13.0, CPU.
# Expected:  the backward pass of scaled_dot_product_attention takes about as long in bfloat16 as in
#            float32, or less, since it moves half of the bytes.
# Behaviour: at the sizes of slot predictors (40 tokens, heads of 16 channels) the backward pass takes
#            several times as long. Casting queries, keys and values to float32 around the call, and
#            back, is faster by far, with the casts counted.
# Whom it hurts: trainings of small Transformers on a CPU under torch.autocast with bfloat16: what was
#            switched on for speed slows them down, and the loss tells nothing.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m pip install --quiet --disable-pip-version-check --target "$folder" torch==2.13.0 numpy==2.3.5
PYTHONPATH="$folder" python3 - <<'PYTHON'
import statistics
import time

import torch
from torch.nn.functional import scaled_dot_product_attention

SHAPE = (16, 4, 40, 16)  # batch, heads, tokens, channels of a head
torch.set_num_threads(1)
torch.manual_seed(0)
values = [torch.randn(SHAPE) for _ in range(3)]


def backward(dtype, inner):
    """Return the seconds of one backward pass, with inputs of one dtype and attention in another."""
    tensors = [value.to(dtype).requires_grad_() for value in values]
    output = scaled_dot_product_attention(*(tensor.to(inner) for tensor in tensors)).to(dtype)
    start = time.process_time()
    output.sum().backward()
    return time.process_time() - start


ways = {
    "float32": (torch.float32, torch.float32),
    "bfloat16": (torch.bfloat16, torch.bfloat16),
    "bfloat16, attention in float32": (torch.bfloat16, torch.float32),
}
seconds = {name: [] for name in ways}
for _ in range(60):  # in turns
    for name, way in ways.items():
        seconds[name].append(backward(*way))
middle = {name: statistics.median(found[10:]) for name, found in seconds.items()}
for name, found in middle.items():
    print(f"torch {torch.__version__}, backward pass, {name}: {1000 * found:.2f} ms")
assert middle["bfloat16"] > 2 * middle["float32"]
assert middle["bfloat16"] > 2 * middle["bfloat16, attention in float32"]
PYTHON

#!/usr/bin/env bash
# PyTorch: its counter of operations sees none in an LSTM on a CPU, and says nothing of it.
#
# Version:   torch 2.13.0, CPU.
# Expected:  torch.utils.flop_counter.FlopCounterMode counts the matrix products of nn.LSTM, as it
#            counts those of nn.LSTMCell and of nn.Linear; or it warns of what it does not know.
# Behaviour: nn.LSTM runs as one operator (aten.mkldnn_rnn_layer) for which there is no formula: 0
#            operations, forward and backward, without a warning. The same products of nn.LSTMCell are
#            counted.
# Whom it hurts: tables of FLOPs of slot predictors: the LSTM seems to cost what its linear layers do,
#            and comparisons with Transformers are off by nearly all of it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m pip install --quiet --disable-pip-version-check --target "$folder" torch==2.13.0 numpy==2.3.5
PYTHONPATH="$folder" python3 - <<'PYTHON'
import warnings

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

STEPS, BATCH, WIDTH = 10, 4, 64
warnings.simplefilter("error")
x = torch.randn(STEPS, BATCH, WIDTH)
lstm, cell = nn.LSTM(WIDTH, WIDTH), nn.LSTMCell(WIDTH, WIDTH)


def unrolled():
    state = None
    for step in x:
        state = cell(step, state)
    return state[0]


def counted(forward):
    with FlopCounterMode(display=False) as counter:
        forward().sum().backward()
    return counter.get_total_flops()


products = 2 * STEPS * BATCH * (2 * WIDTH) * (4 * WIDTH)  # of the forward pass, by hand
whole, single = counted(lambda: lstm(x)[0]), counted(unrolled)
print(f"torch {torch.__version__}: by hand {products} forward; nn.LSTM {whole}, nn.LSTMCell {single}")
assert whole == 0
assert single > products
PYTHON

#!/usr/bin/env bash
# PyTorch: SummaryWriter.add_video writes nothing where moviepy is version 2, and goes on.
#
# Version:   torch 2.13.0, moviepy 2.1.2, tensorboard 2.21.0.
# Expected:  with moviepy installed, which is all that add_video's documentation asks for, the video is
#            in TensorBoard; else it raises.
# Behaviour: a line says that moviepy is installed but moviepy.editor, which version 2 has no more,
#            cannot be imported, and that some packages could be missing. Nothing is written, nothing is
#            raised, and no more is heard of it: the line does not say that the video is lost.
# Whom it hurts: rollouts of a long training that are looked for in TensorBoard when it is over.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m pip install --quiet --disable-pip-version-check --target "$folder/packages" \
    torch==2.13.0 numpy==2.3.5 moviepy==2.1.2 tensorboard==2.21.0 'setuptools<81'
PYTHONPATH="$folder/packages" python3 -W ignore - "$folder/run" <<'PYTHON'
import contextlib
import io
import sys
from importlib.metadata import version

import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.tensorboard import SummaryWriter

said = io.StringIO()
with SummaryWriter(sys.argv[1]) as writer, contextlib.redirect_stdout(said):
    writer.add_video("rollout", torch.rand(1, 8, 3, 32, 32), global_step=1, fps=8)
    writer.add_image("frame", torch.rand(3, 32, 32), global_step=1)
tags = EventAccumulator(sys.argv[1]).Reload().Tags()["images"]
print(f"torch {torch.__version__}, moviepy {version('moviepy')}: {said.getvalue().strip()}")
print(f"in TensorBoard: {tags}")
assert "moviepy is installed, but can't import moviepy.editor" in said.getvalue()
assert tags == ["frame"]
PYTHON

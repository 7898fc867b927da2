#!/usr/bin/env bash
# TensorBoard: curves that are read by its EventAccumulator are a random sample of 10,000 points.
#
# Version:   tensorboard 2.21.0.
# Expected:  EventAccumulator(folder).Scalars(tag), which scripts use to get curves out of event files,
#            gives all that was written.
# Behaviour: of longer curves 10,000 points are kept, drawn at random, with the last one among them: the
#            first point is gone, and so is a spike, or the best validation. Nothing says so.
#            size_guidance={"scalars": 0} keeps all.
# Whom it hurts: long trainings: figures and tables of curves whose extremes are missing.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m pip install --quiet --disable-pip-version-check --target "$folder/packages" \
    tensorboard==2.21.0 'setuptools<81'
PYTHONPATH="$folder/packages" python3 -W ignore - "$folder/run" <<'PYTHON'
import sys

import tensorboard
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter

NUM_STEPS, SPIKE = 100_000, 12_345
writer = EventFileWriter(sys.argv[1])
for step in range(NUM_STEPS):
    value = Summary.Value(tag="loss", simple_value=float(step == SPIKE))
    writer.add_event(Event(step=step, wall_time=step, summary=Summary(value=[value])))
writer.close()


def read(**options):
    """Return how many points there are, the first and the last step, and the largest value."""
    events = EventAccumulator(sys.argv[1], **options).Reload().Scalars("loss")
    return len(events), events[0].step, events[-1].step, max(event.value for event in events)


print(f"tensorboard {tensorboard.__version__}: written {NUM_STEPS}, a spike of 1 at step {SPIKE}")
print(f"by default {read()}; with size_guidance {read(size_guidance={'scalars': 0})}")
number, _, last, largest = read()
assert (number, last, largest) == (10_000, NUM_STEPS - 1, 0.0)  # always the same sample
assert read(size_guidance={"scalars": 0}) == (NUM_STEPS, 0, NUM_STEPS - 1, 1.0)
PYTHON

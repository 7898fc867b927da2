#!/usr/bin/env bash
# TensorBoard: the first resumption of a run purges nothing, where the Python loader reads it.
#
# Version:   tensorboard 2.21.0 with tensorboard-data-server 0.7.2.
# Expected:  a run that resumes from step 5 says so in its new file (a session log START with step 5,
#            which is what `SummaryWriter(purge_step=5)` of torch writes), and TensorBoard then hides
#            what the interrupted session had written from step 5 on: each step has one point.
# Behaviour: the first START of a run counts as its beginning and purges nothing. A session that was
#            started without purge_step writes no START, so it is the first resumption whose START is
#            ignored, with --load_fast=false and wherever there is no data server (it has builds for
#            few platforms). With the data server, the same files show each step once.
# Whom it hurts: who looks at the curves of a training that was killed and resumed; unless every
#            session, the first one too, begins with a START (purge_step=0).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m pip install --quiet --disable-pip-version-check --target "$folder/packages" \
    tensorboard==2.21.0 tensorboard-data-server==0.7.2 'setuptools<81'
export PYTHONPATH="$folder/packages"
python3 - "$folder/runs/run" <<'PYTHON'
import sys
import time

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter


def write(steps, value, purge=None):
    """Write one session of a run."""
    writer = EventFileWriter(sys.argv[1])
    if purge is not None:
        start = SessionLog(status=SessionLog.START)
        writer.add_event(Event(wall_time=time.time(), step=purge, session_log=start))
    for step in steps:
        points = Summary(value=[Summary.Value(tag="loss", simple_value=value)])
        writer.add_event(Event(wall_time=time.time(), step=step, summary=points))
    writer.close()
    time.sleep(1.1)  # files are read in the order of their names, which hold the second


write(range(8), value=1.0)  # killed after step 7, saved at step 5
write(range(5, 10), value=2.0, purge=5)
PYTHON
shown() {
    python3 - "$1" "$folder/runs" <<'PYTHON'
import json
import subprocess
import sys
import time
import urllib.request

fast, runs = sys.argv[1:]
command = [sys.executable, "-m", "tensorboard.main", "--logdir", runs, "--port", "0"]
server = subprocess.Popen(
    [*command, f"--load_fast={fast}"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
)
try:
    address = next(line for line in server.stdout if "http://" in line)
    address = "http://" + address.partition("http://")[2].split()[0].rstrip("/")
    url = f"{address}/data/plugin/scalars/scalars?tag=loss&run=run"
    for _ in range(60):
        try:
            points = json.load(urllib.request.urlopen(url))
            if points and points[-1][1] == 9:
                break
        except urllib.error.HTTPError:
            pass
        time.sleep(0.5)
    print(" ".join(f"{step}:{value:g}" for _, step, value in points))
finally:
    server.terminate()
PYTHON
}
slow=$(shown false)
fast=$(shown true)
echo "tensorboard 2.21.0, step:value, --load_fast=false: $slow"
echo "tensorboard 2.21.0, step:value, --load_fast=true:  $fast"
[ "$slow" = "0:1 1:1 2:1 3:1 4:1 5:1 6:1 7:1 5:2 6:2 7:2 8:2 9:2" ]
[ "$fast" = "0:1 1:1 2:1 3:1 4:1 5:2 6:2 7:2 8:2 9:2" ]

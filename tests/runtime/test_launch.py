"""Real ranks: what they are told, how signals reach them, how they end, and that none remains.

The ranks here do without torch, so that they start at once.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest
from tiny import quiet_environment
from trainings import is_running
from trainings import of_both as read

from ocvp.runtime.launch import is_rank

pytestmark = pytest.mark.slow  # each run imports torch in several processes


RANK = """
    import json, os, signal, subprocess, sys, time
    from pathlib import Path

    folder, behaviour = Path(sys.argv[1]), sys.argv[2]
    rank = int(os.environ["RANK"])
    signals = []
    for number in (signal.SIGINT, signal.SIGTERM):
        # Where nothing else is said, a rank and its reader survive what can be survived.
        signal.signal(number, lambda number, _: signals.append(number))
    reader = subprocess.Popen(["sh", "-c", "trap '' INT TERM; sleep 60"])

    def write(name, value):
        (folder / f"{name}{rank}.part").write_text(json.dumps(value))
        (folder / f"{name}{rank}.part").rename(folder / f"{name}{rank}")

    def wait_until(condition):
        end = time.monotonic() + 60
        while not condition() and time.monotonic() < end:
            time.sleep(0.02)

    write("pids", [os.getpid(), reader.pid])
    if behaviour == "end":
        names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "OMP_NUM_THREADS")
        told = {"words": sys.argv[3:], "safe_path": sys.flags.safe_path}
        write("told", told | {name: os.environ.get(name) for name in names})
        sys.exit()
    wait_until(lambda: (folder / "pids0").exists() and (folder / "pids1").exists())
    if behaviour == "fail" and rank == 1:
        raise RuntimeError("the cause")
    if behaviour == "killed" and rank == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    if behaviour == "stop":
        wait_until(lambda: signals)
        time.sleep(1.2 * (1 - rank))  # rank 1 ends while rank 0 saves
        write("signals", signals)
        sys.exit(128 + signals[0])
    wait_until(lambda: False)
"""

LAUNCHER = """
    import json, logging, os, signal, sys, threading, time
    from pathlib import Path
    from ocvp.runtime import launch

    logging.basicConfig(format="%(message)s")
    launch.FAILURE_SECONDS = 1
    folder = Path(sys.argv[1])

    def signal_self(folder, schedule):
        while not all((folder / f"pids{rank}").exists() for rank in range(2)):
            time.sleep(0.02)
        for pause, number in schedule:
            time.sleep(pause)
            os.kill(os.getpid(), number)

    for name, behaviour, words, schedule, patience in json.loads(sys.argv[2]):
        own = folder / name
        own.mkdir()
        launch.STOP_SECONDS = patience
        threading.Thread(target=signal_self, args=(own, schedule), daemon=True).start()
        print(f"--- {name}", file=sys.stderr, flush=True)
        start, former = time.monotonic(), dict(os.environ)
        handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
        status = launch.launch("rank", [str(own), behaviour, *words], 2)
        assert dict(os.environ) == former
        assert handlers == [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
        (own / "ending").write_text(json.dumps([status, time.monotonic() - start]))
"""

WORDS = ["--path", "a b", "$$x", "${local_rank}", '{"key": 1}']
INTERRUPT, TERMINATE = int(signal.SIGINT), int(signal.SIGTERM)
RUNS = [
    ("end", "end", WORDS, [], 600),
    ("fail", "fail", [], [], 600),
    ("killed", "killed", [], [], 600),
    ("interrupted", "stop", [], [(0, INTERRUPT), (0.4, TERMINATE), (0.1, INTERRUPT)], 600),
    ("terminated", "stop", [], [(0, TERMINATE), (0.4, TERMINATE)], 600),
    ("deaf", "deaf", [], [(0, TERMINATE)], 1),
]


@contextlib.contextmanager
def started(folder, runs):
    """Start a launcher, which launches once for each of `runs`."""
    for name, text in (("rank", RANK), ("launcher", LAUNCHER)):
        (folder / f"{name}.py").write_text(textwrap.dedent(text))
    environment = quiet_environment()
    paths = [str(folder), environment.get("PYTHONPATH", "")]
    with subprocess.Popen(
        [sys.executable, "-P", "launcher.py", str(folder), json.dumps(runs)],
        cwd=folder,
        env=environment | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def assert_none_remains(folder):
    """Check that no rank runs, and no process that a rank started."""
    pids = [pid for pair in read(folder, "pids") for pid in pair]
    end = time.monotonic() + 2.0
    while any(map(is_running, pids)) and time.monotonic() < end:
        time.sleep(0.02)
    assert not [pid for pid in pids if is_running(pid)]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """All of RUNS; returns (folder, exit status, seconds, stderr) by name."""
    folder = tmp_path_factory.mktemp("launches")
    with started(folder, RUNS) as process:
        text = process.communicate(timeout=100)[1]
    assert process.returncode == 0, text
    parts = text.split("--- ")[1:]
    results = {}
    for part in parts:
        name, _, said = part.partition("\n")
        status, seconds = json.loads((folder / name / "ending").read_text())
        results[name] = (folder / name, status, seconds, said)
    return results


def test_ranks_get_the_arguments_as_they_are_and_what_torchrun_tells(runs):
    folder, status, _, said = runs["end"]
    assert (status, said) == (0, "")
    for rank, told in enumerate(read(folder, "told")):
        assert told["words"] == WORDS
        assert told["safe_path"]  # as the launcher: it imports nothing from the working folder
        assert (told["RANK"], told["LOCAL_RANK"]) == (str(rank), str(rank))
        assert (told["WORLD_SIZE"], told["LOCAL_WORLD_SIZE"]) == ("2", "2")
        assert told["OMP_NUM_THREADS"] == "1"  # as it was in the environment


@pytest.mark.parametrize("name", [run[0] for run in RUNS])
def test_nothing_remains(runs, name):
    assert_none_remains(runs[name][0])


def test_a_rank_that_fails_shows_its_traceback_and_the_others_are_stopped(runs):
    _, status, seconds, said = runs["fail"]
    assert status == 1
    assert said.count("Traceback") == 1
    assert "RuntimeError: the cause\n" in said
    last = "process 2 of 2 failed (exit status 1, see above); the others were stopped\n"
    assert said.endswith(last)
    assert "torch" not in said
    assert 1.0 < seconds < 10.0  # rank 0 does not heed SIGTERM, and is killed after FAILURE_SECONDS


def test_a_rank_that_is_killed_is_named_with_the_signal(runs):
    _, status, _, said = runs["killed"]
    assert status == 128 + signal.SIGKILL
    assert said == "process 1 of 2 was killed by SIGKILL; the others were stopped\n"


@pytest.mark.parametrize(
    ("name", "number"), [("interrupted", signal.SIGINT), ("terminated", signal.SIGTERM)]
)
def test_a_signal_reaches_the_ranks_once_and_they_end_by_themselves(runs, name, number):
    folder, status, _, said = runs[name]
    assert status == 128 + number
    assert read(folder, "signals") == [[number], [number]]
    assert said == ""


def test_ranks_that_do_not_heed_a_signal_are_killed_in_the_end(runs):
    _, status, seconds, _ = runs["deaf"]
    assert status == 128 + signal.SIGTERM
    assert 1.0 < seconds < 10.0


def test_a_later_second_signal_ends_everything_at_once(tmp_path):
    schedule = [(0, TERMINATE), (2.3, INTERRUPT)]
    with started(tmp_path, [("deaf", "deaf", [], schedule, 600)]) as process:
        said = process.communicate(timeout=40)[1]
    assert process.returncode == 128 + signal.SIGINT
    assert said.endswith("stopped at once; the same command goes on from what was last saved\n")
    assert_none_remains(tmp_path / "deaf")


def test_is_rank_only_where_torchrun_says_so(monkeypatch):
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    monkeypatch.setenv("RANK", "0")  # some clusters set it for programs of their own
    assert not is_rank()
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    assert is_rank()

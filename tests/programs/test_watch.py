"""TensorBoard really started, and asked over HTTP what it shows."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from chromium import Page, find_chromium
from tiny import assert_one_error, command, quiet_environment

from ocvp.pictures.cards import rollout_card
from ocvp.runtime.tensorboard_server import how_to_see
from ocvp.runtime.training_log import TrainingLog
from ocvp.watch import main

pytestmark = pytest.mark.slow  # each test starts a server

SAVI, PREDICTOR = "tabletop/savi/seed0", "tabletop/savi/seed0/ocvp_seq-num_layers2"


def write_run(results: Path, place: str, steps: range = range(1, 4)) -> Path:
    """Write the curve of a training that is at `results/place`; a point's value is its step."""
    folder = results / place / "tensorboard"
    with TrainingLog(folder, steps[0] - 1) as log:
        for step in steps:
            log.scalars("train", {"loss": step}, step)
    return folder


class Watcher:
    """`ocvp.watch` in a process of its own."""

    def __init__(self, folder: Path, *options: object):
        self._output, self._errors = folder / "output.txt", folder / "errors.txt"
        with self._output.open("w") as output, self._errors.open("w") as errors:
            self.process = subprocess.Popen(
                command("ocvp.watch", "--port", 0, "--interval", 1, *options),
                cwd=folder,
                env=quiet_environment() | {"TMPDIR": str(folder / "tmp")},
                stdout=output,
                stderr=errors,
                # A shell's background jobs ignore Ctrl-C, and so would what they start.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )
        self.url = ""

    def wait_for_start(self) -> None:
        deadline = time.monotonic() + 60
        while not (found := re.search(r"^Open (http://\S+/) ", self._output.read_text())):
            assert self.process.poll() is None, self._errors.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        self.url = found[1]

    def end(self, number: signal.Signals) -> tuple[int, str, str]:
        """Send a signal; return the exit status and what was printed."""
        self.process.send_signal(number)
        status = self.process.wait(timeout=30)
        return status, self._output.read_text(), self._errors.read_text()

    def ask(self, path: str) -> Any:
        with urllib.request.urlopen(self.url + path, timeout=10) as answer:
            return json.load(answer)

    def wait_for(self, path: str, expected: Callable[[Any], bool]) -> Any:
        deadline = time.monotonic() + 60
        answer = None
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(OSError):
                if expected(answer := self.ask(path)):
                    return answer
            time.sleep(0.2)
        raise AssertionError(f"the last answer for {path} was {answer}")

    def points(self, run: str, tag: str = "train/loss") -> list[tuple[int, float]]:
        query = urllib.parse.urlencode({"tag": tag, "run": run})
        answer = self.ask(f"data/plugin/scalars/scalars?{query}")
        return [(step, value) for _, step, value in answer]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tmp").mkdir()
    return tmp_path


@contextlib.contextmanager
def watching(folder: Path, *options: object) -> Iterator[Watcher]:
    watcher = Watcher(folder, *options)
    try:
        watcher.wait_for_start()
        yield watcher
    finally:
        watcher.process.kill()
        watcher.process.wait()


def test_runs_are_shown_under_readable_names_and_new_ones_appear(folder):
    results = folder / "results"
    for place in (SAVI, PREDICTOR):
        write_run(results, place)
    names = {"savi", "ocvp_seq-num_layers2"}
    with watching(folder) as watcher:
        watcher.wait_for("data/runs", lambda runs: set(runs) == names)
        tags = watcher.wait_for("data/plugin/scalars/tags", lambda tags: set(tags) == names)
        assert all(set(of_run) == {"train/loss"} for of_run in tags.values())
        assert watcher.points("savi") == [(1, 1.0), (2, 2.0), (3, 3.0)]
        # One goes on from step 2, one starts, and one is moved away.
        write_run(results, SAVI, range(3, 6))
        write_run(results, "other/savi/seed1")
        shutil.rmtree(results / PREDICTOR)
        names = {"tabletop-savi-seed0", "other-savi-seed1"}  # now it takes these to tell them apart
        watcher.wait_for("data/runs", lambda runs: set(runs) == names)
        watcher.wait_for("data/plugin/scalars/tags", lambda tags: set(tags) == names)
        deadline = time.monotonic() + 30
        while len(points := watcher.points("tabletop-savi-seed0")) < 5:
            assert time.monotonic() < deadline, points
            time.sleep(0.2)
        assert points == [(step, float(step)) for step in range(1, 6)]
        # Only this machine can ask.
        process = psutil.Process(watcher.process.pid)
        listening = {
            connection.laddr.ip
            for part in (process, *process.children(recursive=True))
            for connection in part.net_connections(kind="inet")
            if connection.status == psutil.CONN_LISTEN
        }
        assert listening
        assert listening <= {"127.0.0.1", "::1"}
        status, text, errors = watcher.end(signal.SIGINT)
    assert (status, errors) == (0, "")
    assert re.search(r"^ +ssh -N -L (\d+):localhost:\1 \S+@\S+$", text, re.MULTILINE)
    assert f"showing other-savi-seed1: {results / 'other/savi/seed1'}" in text
    assert list((folder / "tmp").glob("ocvp_runs_*")) == []  # the links are gone
    assert list((results / SAVI / "tensorboard").glob("events*"))  # and what they led to is not


def test_without_tensorboards_data_server_it_is_the_same(folder, monkeypatch):
    # A package that a machine may lack; TensorBoard then reads the files itself.
    (folder / "tensorboard_data_server.py").write_text("raise ImportError\n")
    paths = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    write_run(folder / "results", SAVI)
    write_run(folder / "results", SAVI, range(3, 6))
    with watching(folder) as watcher:
        expected = {"savi": {"train/loss": {"displayName": "train/loss"}}}
        tags = watcher.wait_for("data/plugin/scalars/tags", bool)
        assert tags.keys() == expected.keys()
        assert watcher.points("savi") == [(s, float(s)) for s in range(1, 6)]


# Pictures lie within shadow roots; what they are, and how large they are shown.
PICTURES = """(() => {
    const found = [];
    const look = (root) => root.querySelectorAll("*").forEach((element) => {
        if (element.shadowRoot) look(element.shadowRoot);
        if (element.tagName !== "IMG" || element.naturalWidth < 100) return;
        const box = element.getBoundingClientRect();
        found.push([element.naturalWidth, element.naturalHeight, box.width, box.height]);
    });
    look(document);
    return found;
})()"""


@pytest.mark.skipif(find_chromium() is None, reason="no Chromium or Chrome on this machine")
@pytest.mark.parametrize(("tab", "width"), [("images", 1440), ("timeseries", 1280)])
def test_pictures_are_shown_at_their_size(folder, tab, width):
    frames = np.zeros((8, 64, 64, 3), np.uint8)
    card = rollout_card(frames, frames, frames[..., 0], 3)
    with TrainingLog(folder / "results" / PREDICTOR / "tensorboard", 0) as log:
        log.images({"validation/rollout": card}, 1)
    with watching(folder) as watcher:
        watcher.wait_for("data/plugin/images/tags", bool)
        with Page(str(find_chromium()), folder / "profile") as page:
            size = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
            page.call("Emulation.setDeviceMetricsOverride", **size)
            page.call("Page.navigate", url=f"{watcher.url}#{tab}")
            page.wait_for(f"{PICTURES}.length > 0")
            ((*natural, shown, high),) = page.evaluate(PICTURES)
    assert natural == [card.shape[1], card.shape[0]] == [350, 214]
    assert high >= 0.99 * natural[1] or shown >= 0.93 * natural[0]
    assert tab == "timeseries" or [shown, high] == natural


def test_it_waits_for_the_first_run(folder):
    with watching(folder, "--only", "*-ocvp_*", "other*") as watcher:
        assert watcher.ask("data/runs") == []
        write_run(folder / "results", SAVI)
        write_run(folder / "results", PREDICTOR)
        watcher.wait_for("data/runs", bool)
        assert watcher.ask("data/runs") == ["ocvp_seq-num_layers2"]
        status, text, errors = watcher.end(signal.SIGTERM)
    assert (status, errors) == (143, "")
    assert "No runs that match *-ocvp_* or other* in results yet; waiting" in text


def test_a_port_in_use_is_named_with_the_option_to_change_it(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with socket.create_server(("localhost", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(ValueError, match=f"port {port} is in use, .* another one with --port"):
            main(["--port", str(port)])
    for options, reason in ((["--port", "70000"], "65535"), (["--host", "no such"], "not known")):
        with pytest.raises(ValueError, match=f"cannot listen on --host .*{reason}"):
            main(["--port", "0", *options])


def test_errors_are_one_line(tmp_path):
    done = subprocess.run(
        command("ocvp.watch", "--port", 70000),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert_one_error(done.stderr, "--port 70000")


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "x"])
def test_intervals_that_make_no_sense_are_refused(seconds, capsys):
    with pytest.raises(SystemExit):
        main(["--interval", seconds])
    assert "--interval" in capsys.readouterr().err


def test_it_says_how_to_see_it_from_another_machine():
    text = how_to_see("localhost", 6007, "ada", "lab3")
    assert "http://localhost:6007/" in text
    assert "ssh -N -L 6007:localhost:6007 ada@lab3\n" in text
    assert "--host 0.0.0.0" in text
    text = how_to_see("0.0.0.0", 6007, "ada", "lab3")
    assert "http://lab3:6007/" in text
    assert "anybody" in text
    assert "ssh" not in text

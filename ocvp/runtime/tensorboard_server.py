"""TensorBoard over the runs of a folder of results: which there are, a server that shows them."""

import contextlib
import fnmatch
import io
import logging
import urllib.parse
from collections.abc import Sequence
from pathlib import Path

LOCAL = ("localhost", "127.0.0.1", "::1")
MOST_FOLDERS = 4
"""Folders between the results and a run's files: data set, SAVi, seed, predictor."""
SAMPLES = "scalars=2000,images=25"
"""Points of a curve, and pictures of a name, that are kept of a long run, evenly chosen."""


def find_runs(results: Path, patterns: Sequence[str] = ()) -> dict[str, Path]:
    """Return the folders with TensorBoard's files below a folder of results, by name.

    Args:
        results: The folder, which may be missing.
        patterns: Names to show, with `*` for anything; none: all.
    """
    runs = {}
    for depth in range(MOST_FOLDERS + 1):  # 0: the folder may be a run's own
        for path in results.glob("*/" * depth + "tensorboard"):
            parts = path.relative_to(results).parts[:-1] or (results.absolute().name,)
            name = "-".join(parts)
            is_wanted = not patterns or any(fnmatch.fnmatchcase(name, p) for p in patterns)
            if is_wanted and any(path.glob("events.out.tfevents.*")):
                runs[name] = path.absolute()
    return runs


def show(links: Path, runs: dict[str, Path]) -> list[str]:
    """Let a folder hold a symbolic link for each run and no other; return the new names.

    TensorBoard names a run after the folders that it sees.
    """
    present = {path.name: path for path in links.iterdir()}
    for name, path in present.items():
        if name not in runs:
            path.unlink()
    new = sorted(runs.keys() - present.keys())
    for name in new:
        (links / name).symlink_to(runs[name], target_is_directory=True)
    return new


def serve(folder: Path, host: str, port: int, interval: float) -> int:
    """Start TensorBoard in a thread of its own; return its port.

    Args:
        folder: Folder of the runs.
        host: Address to listen on.
        port: Port to listen on; 0: any free one.
        interval: Seconds between two looks for new points.

    Raises:
        ValueError: If it cannot listen there.
    """
    from tensorboard import program

    options = [f"--logdir={folder}", f"--host={host}", f"--port={port}"]
    # The fast loader does not know that a run which starts anew, or goes back, voids points.
    options += ["--load_fast=false"]
    options += [f"--reload_interval={interval}", f"--samples_per_plugin={SAMPLES}"]
    logging.getLogger("tensorboard").setLevel(logging.ERROR)  # it tells of every run that resumed
    server = program.TensorBoard()
    server.configure(["tensorboard", *options])
    output = io.StringIO()
    try:
        with contextlib.redirect_stderr(output):  # it advertises how it loads data
            url = server.launch()
    except program.TensorBoardPortInUseError:
        raise ValueError(
            f"port {port} is in use, perhaps by another TensorBoard; give another one with --port "
            "(0: any that is free)"
        ) from None
    except program.TensorBoardServerException as error:
        raise ValueError(f"cannot listen on --host {host}, --port {port}: {error.msg}") from None
    except SystemExit as ending:  # for some causes it prints why and ends the program
        if ending.code != 1:
            raise
        reason = output.getvalue().strip().rpartition("\n")[-1]
        raise ValueError(f"cannot listen on --host {host}, --port {port}: {reason}") from None
    return urllib.parse.urlsplit(url).port or port


def how_to_see(host: str, port: int, user: str, machine: str) -> str:
    """Say how to see TensorBoard, from this machine and from others.

    Args:
        host: Address that it listens on.
        port: Its port.
        user: Name of the user on this machine.
        machine: Name of this machine.
    """
    if host not in LOCAL:
        return (
            f"Open http://{machine}:{port}/ (Ctrl-C ends it). It listens on {host}: anybody who "
            "can reach this machine can look."
        )
    return (
        f"Open http://localhost:{port}/ (Ctrl-C ends it).\n"
        "To see it on another machine, run this there, and open the same address there:\n"
        f"    ssh -N -L {port}:localhost:{port} {user}@{machine}\n"
        "To let everybody look who can reach this machine, add --host 0.0.0.0."
    )

"""TensorBoard over the runs of a folder of results: which there are, a server that shows them."""

import contextlib
import fnmatch
import io
import logging
import urllib.parse
from collections.abc import Sequence
from pathlib import Path

Place = tuple[str, ...]
"""Folders from the results to a run."""

LOCAL = ("localhost", "127.0.0.1", "::1")
MOST_FOLDERS = 4
"""Folders between the results and a run's files: data set, SAVi, seed, predictor."""
MODEL_LEVELS = {3: 1, 4: 3}
"""Which folder names the model, of a SAVi's place and of a predictor's."""
SAMPLES = "scalars=2000,images=25"
"""Points of a curve, and pictures of a name, that are kept of a long run, evenly chosen."""


def find_runs(results: Path, patterns: Sequence[str] = ()) -> dict[str, Path]:
    """Return the folders with TensorBoard's files below a folder of results, by a short name.

    Args:
        results: The folder, which may be missing.
        patterns: Places to show, as `tabletop-savi-seed0-ocvp_seq`, with `*` for anything; none:
            all.
    """
    runs = {}
    for depth in range(MOST_FOLDERS + 1):  # 0: the folder may be a run's own
        for path in results.glob("*/" * depth + "tensorboard"):
            place = path.relative_to(results).parts[:-1] or (results.absolute().name,)
            name = "-".join(place)
            is_wanted = not patterns or any(fnmatch.fnmatchcase(name, p) for p in patterns)
            if is_wanted and any(path.glob("events.out.tfevents.*")):
                runs[place] = path.absolute()
    return dict(zip(short_names(list(runs)), runs.values(), strict=True))


def short_names(places: Sequence[Place]) -> list[str]:
    """Return what tells runs apart, as TensorBoard cuts off long names.

    Data set, SAVi and seed are left out where all runs have the same; not so the model's own name.
    """
    in_studies = [place for place in places if len(place) in MODEL_LEVELS]
    shared = [level for level in range(3) if len({place[level] for place in in_studies}) == 1]

    def kept(place: Place) -> Place:
        model = MODEL_LEVELS.get(len(place))
        left_out = {*shared} - {model} if model else ()
        return tuple(folder for level, folder in enumerate(place) if level not in left_out)

    for separator, shorten in (("-", kept), ("-", tuple), (",", tuple)):
        names = [separator.join(shorten(place)) for place in places]
        if len(set(names)) == len(names):
            break
    return names


def show(links: Path, runs: dict[str, Path]) -> list[str]:
    """Let a folder hold a symbolic link for each run and no other; return the new names.

    TensorBoard names a run after the folders that it sees.
    """
    present = {path.name: path for path in links.iterdir()}
    for name, path in present.items():
        if runs.get(name) != path.readlink():
            path.unlink()
    new = sorted(name for name in runs if not (links / name).is_symlink())
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

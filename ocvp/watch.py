"""Watch all trainings side by side in the browser, with TensorBoard.

Runs are named after their place, for example tabletop-savi-seed0-ocvp_seq for what lies in
results/tabletop/savi/seed0/ocvp_seq. Trainings that start later appear by themselves.
"""

import argparse
import contextlib
import fnmatch
import getpass
import io
import logging
import socket
import tempfile
import time
import urllib.parse
from collections.abc import Sequence
from pathlib import Path

from ocvp.runtime.program import program_parser, run

PORT = 6006
LOCAL = ("localhost", "127.0.0.1", "::1")
MOST_FOLDERS = 4
"""Folders between the results and a run's files: data set, SAVi, seed, predictor."""
SAMPLES = "scalars=2000,images=25"
"""Points of a curve, and pictures of a name, that are kept of a long run, evenly chosen."""
EPILOG = """\
To look from another machine, run there the ssh command that is printed at the start, and open the
same address there. To reach a node of a cluster through its login node, add -J USER@LOGIN to it.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program (see the module's description)."""
    args = _parse(argv)
    with tempfile.TemporaryDirectory(prefix="ocvp_runs_") as folder:
        links = Path(folder)
        shown = show(links, find_runs(args.results, args.only))
        port = serve(links, args.host, args.port, args.interval)
        print(how_to_see(args.host, port, _user(), socket.gethostname()), flush=True)
        if not shown:
            matching = f" that match {' or '.join(args.only)}" if args.only else ""
            print(f"No runs{matching} in {args.results} yet; waiting for them.", flush=True)
        try:
            while True:
                for name in sorted(shown):
                    print(f"showing {name}", flush=True)
                time.sleep(args.interval)
                shown = show(links, find_runs(args.results, args.only))
        except KeyboardInterrupt:  # the way to end it
            return 0


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


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = program_parser(__doc__, "ocvp.watch", EPILOG)
    parser.add_argument(
        "--results",
        type=Path,
        default=Path("results"),
        help="folder whose runs are shown (default: results)",
    )
    parser.add_argument(
        "--only",
        nargs="+",
        default=[],
        metavar="PATTERN",
        help="runs to show, by name, with * for anything, for example 'tabletop-*-ocvp_seq' "
        "(default: all)",
    )
    parser.add_argument(
        "--host",
        default="localhost",
        help="address to listen on; 0.0.0.0 lets anybody look who can reach this machine "
        "(default: localhost, this machine alone)",
    )
    parser.add_argument(
        "--port",
        type=int,
        default=PORT,
        help=f"port to listen on; 0 takes any that is free (default: {PORT})",
    )
    parser.add_argument(
        "--interval",
        type=_seconds,
        default=5.0,
        metavar="SECONDS",
        help="how often to look for new runs and points, at least 1 (default: 5)",
    )
    return parser.parse_args(argv)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return "USER"


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 1 <= seconds < 86400:
        raise argparse.ArgumentTypeError(f"{text} is out of range, allowed is 1 to 86400")
    return seconds


if __name__ == "__main__":
    run(main)

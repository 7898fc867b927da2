"""Starts programs without the wait for torch: each is forked from a server that has imported it.

    python tests/helpers/forked.py SOCKET -P -m ocvp.train_savi ARGUMENTS...

stands for `python -P -m ocvp.train_savi ARGUMENTS...`. A program is a process of its own, in its
own folder and environment; the server has imported nothing of this package, and what it has loaded
has its own number of threads. A program whose caller is gone is killed.
"""

import contextlib
import functools
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

PRELOADED = (
    *("av", "google_crc32c", "h5py", "matplotlib.backends.backend_agg", "matplotlib.figure"),
    *("mujoco", "numpy", "pandas", "PIL.Image", "psutil", "pydantic", "scipy.optimize"),
    *("scipy.spatial", "sklearn.cluster", "tensorboard.compat.proto.event_pb2", "torch", "tqdm"),
    *("torch._dynamo", "torch.distributed", "torch.nn.parallel", "torch.utils.data", "yaml"),
)
HEADER = 8  # bytes that say how many follow


class Program:
    """A program that was started; what it needs of `subprocess.Popen`.

    Args:
        path: The server's socket.
        words: What follows `python`.
        environment: All of its environment variables.
        files: Its standard input, output and error: numbers of open files.
    """

    def __init__(
        self,
        path: str,
        words: Sequence[str],
        environment: Mapping[str, str],
        files: Sequence[int] = (0, 1, 2),
    ) -> None:
        self.returncode: int | None = None
        self._connection = socket.socket(socket.AF_UNIX)
        self._connection.connect(path)
        content = json.dumps([list(words), str(Path.cwd()), dict(environment)]).encode()
        socket.send_fds(self._connection, [len(content).to_bytes(HEADER)], files)
        self._connection.sendall(content)
        self.pid = self._number()

    def poll(self) -> int | None:
        """Return the status, negative for a signal that killed it; None while it runs."""
        if self.returncode is None and select.select([self._connection], [], [], 0)[0]:
            self.wait()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end, and return the status."""
        if self.returncode is None:
            if not select.select([self._connection], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("a program", timeout or 0.0)
            self.returncode = self._number()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it."""
        self.send_signal(signal.SIGKILL)

    def _number(self) -> int:
        return int.from_bytes(self._connection.recv(HEADER, socket.MSG_WAITALL), signed=True)


@functools.cache
def server() -> str:
    """Start the server of this process, and return its socket; it ends with this process."""
    import tempfile

    path = str(Path(tempfile.mkdtemp(prefix="forked-")) / "socket")
    process = subprocess.Popen(
        [sys.executable, __file__, "--serve", path],
        stdin=subprocess.PIPE,  # closed when this process ends
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    _servers.append(process)
    while not Path(path).exists():
        assert process.poll() is None, "the server did not start"
    return path


_servers: list[subprocess.Popen[bytes]] = []


@functools.cache
def python(*real: str) -> Path:
    """Write a `python` that forks what it is asked to run, and return its path.

    Args:
        real: Programs that it starts as Python does, since their processes are measured.
    """
    path = Path(server()).parent / "-".join(["forked", *real]) / "python"
    path.parent.mkdir()
    forked = f'exec {sys.executable} -SEs {__file__} {server()} "$@"\n'
    # What follows -m is the second word, or the third after -P.
    programs = "|".join(f"*' -m {name} '*" for name in real)
    cases = f'case " $1 $2 $3 " in {programs}) exec {sys.executable} "$@";; esac\n' if real else ""
    path.write_text(f"#!/bin/sh\n{cases}{forked}")
    path.chmod(0o755)
    return path


def main(path: str, *words: str) -> int:
    """Run a program as if it were this one."""
    program = Program(path, words, os.environ)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, lambda number, _: program.send_signal(number))
    status = program.wait()
    if status < 0:
        signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    return status


# --- the server ---------------------------------------------------------------------------------


def serve(path: str) -> tuple[list[str], str, dict[str, str]] | None:
    """Fork a process for each request; return what it is to run there, and None here at the end."""
    import gc
    import importlib

    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"{path}.new")
    listener.listen(64)
    Path(f"{path}.new").rename(path)  # who waits for it may connect at once
    for name in PRELOADED:
        importlib.import_module(name)
    gc.freeze()  # what is loaded needs no collecting in each program
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that watch programs
    while True:
        ready = select.select([listener, sys.stdin], [], [])[0]
        if sys.stdin in ready:
            return None
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            return _watch(connection)
        connection.close()


def _watch(connection: socket.socket) -> tuple[list[str], str, dict[str, str]]:
    """Fork the program, and return what it is to run there; here, wait for its end and exit."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    header, files, _, _ = socket.recv_fds(connection, HEADER, 3)
    content = connection.recv(int.from_bytes(header), socket.MSG_WAITALL)
    pid = os.fork()
    if pid == 0:
        connection.close()
        for number, file in enumerate(files):
            os.dup2(file, number)
            os.close(file)
        words, folder, environment = json.loads(content)
        return words, folder, environment
    for file in files:
        os.close(file)
    os.close(0)
    connection.sendall(pid.to_bytes(HEADER))
    if connection in select.select([connection, os.pidfd_open(pid)], [], [])[0]:
        os.kill(pid, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    with contextlib.suppress(OSError):
        connection.sendall(status.to_bytes(HEADER, signed=True))
    os._exit(0)


def run(words: list[str], folder: str, environment: dict[str, str]) -> NoReturn:
    """Run a program in this process, as Python would; at its end nothing is torn down."""
    import atexit
    import runpy

    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    known = [*filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    is_safe = words[0] == "-P"  # nothing is imported from the working folder
    words = words[is_safe:]
    sys.path[:] = [*([] if is_safe else [folder]), *known, *sys.path[1:]]
    with contextlib.suppress(ImportError):
        sys.modules.pop("sitecustomize", None)
        import sitecustomize  # noqa: F401
    status: Any = 0
    try:
        if words[0] == "-m":
            sys.argv = words[1:]
            runpy.run_module(words[1], run_name="__main__", alter_sys=True)
        else:
            sys.argv = words
            sys.path[0] = str(Path(words[0]).parent)
            runpy.run_path(words[0], run_name="__main__")
    except SystemExit as error:
        status = error.code
    except BaseException:
        sys.excepthook(*sys.exc_info())
        status = 1
    if isinstance(status, str):
        print(status, file=sys.stderr)
        status = 1
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status or 0)


if __name__ == "__main__":
    if sys.argv[1] != "--serve":
        sys.exit(main(*sys.argv[1:]))
    what = serve(sys.argv[2])
    if what is not None:
        run(*what)
    os._exit(0)

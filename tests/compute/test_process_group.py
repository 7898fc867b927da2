"""Groups of one, and two real ranks over gloo: what they exchange, and how they end."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import textwrap
import time

import pytest
import torch
from tiny import SAVI_MODEL, SIDE, quiet_environment
from torch import nn
from trainings import is_running
from trainings import of_both as read

from ocvp.compute.process_group import Group, check_devices, device_of_rank, joined, part_of

# The toy: a loss that uses all parameters or some, as a mean over a batch of 5.
TOY = """
    import torch
    from torch import nn

    from ocvp.models.savi import SAVi

    class Toy(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.always, self.sometimes = nn.Linear(3, 4), nn.Linear(4, 4)
            self.register_buffer("constant", torch.arange(4.0), persistent=False)

        def forward(self, inputs, with_all):
            hidden = self.always(inputs)
            hidden = self.sometimes(hidden.tanh()) if with_all else hidden
            return {"loss": (hidden - self.constant).square().mean()}

    class SaviLoss(nn.Module):
        def __init__(self, arguments):
            super().__init__()
            torch.manual_seed(0)
            self.savi = SAVi(**arguments)

        def forward(self, frames, boxes):
            output = self.savi(frames, boxes=boxes)
            return {"loss": (output.reconstruction - frames).square().mean()}

    def toy_batch():
        return torch.randn(5, 3, generator=torch.Generator().manual_seed(1))

    def savi_batch(num_frames, side):
        generator = torch.Generator().manual_seed(2)
        frames = torch.rand(3, num_frames, 3, side, side, generator=generator)
        return frames, torch.tensor([[[0.1, 0.1, 0.5, 0.5]]]).expand(3, -1, -1)

    def gradients(module):
        return {
            name: None if parameter.grad is None else parameter.grad.tolist()
            for name, parameter in module.named_parameters()
        }
"""

RANK = """
    import atexit, json, os, signal, sys, time
    from pathlib import Path

    import torch
    import torch.distributed as dist
    from torch import nn

    from ocvp.compute import process_group
    from ocvp.runtime.launch import LAUNCHER, is_rank, launch
    from ocvp.compute.process_group import die_with_launcher, joined
    from toy import SaviLoss, Toy, gradients, savi_batch, toy_batch

    folder, behaviour = Path(sys.argv[1]), sys.argv[2]

    def write(name, value):
        (folder / f"{name}.part").write_text(json.dumps(value))
        (folder / f"{name}.part").rename(folder / name)

    def exchanged(group):
        stamps = [time.monotonic()]
        if group.rank == 1:
            time.sleep(0.5)
            stamps = [time.monotonic()]
        group.barrier()
        return {
            "group": [group.rank, group.size, group.local_rank, group.is_first],
            "agree": group.agree(group.rank == 1, False, True),
            "share": group.share({"of": group.rank} if group.is_first else None),
            "collect": group.collect([group.rank, "x" * group.rank]),
            "share_of": group.share_of("abcde"),
            "passed": time.monotonic(),
            "arrived": stamps[0],
        }

    def toy_gradients(group):
        torch.manual_seed(group.rank)
        toy = Toy()
        if not group.is_first:
            with torch.no_grad():
                toy.always.weight.add_(1.0)  # rank 0's count
        losses, steps = group.synchronised(toy, "cpu"), []
        optimizer = torch.optim.AdamW(toy.parameters(), lr=0.01, fused=True)
        mine = group.share_of(toy_batch())
        for with_all in (False, True, True, False):
            optimizer.zero_grad()
            loss = losses(mine, with_all)["loss"]
            (loss * len(mine) / 5 * group.size).backward()
            steps.append(gradients(toy))
            optimizer.step()
        optimizer.zero_grad()
        with losses.no_sync():
            (losses(mine[:1], True)["loss"] / 5 * group.size).backward()
        (losses(mine[1:], True)["loss"] * len(mine[1:]) / 5 * group.size).backward()
        steps.append(gradients(toy))
        return steps

    def savi_gradients(group, arguments, side):
        module = SaviLoss(arguments)
        losses, found = group.synchronised(module, "cpu"), []
        for num_frames in (1, 2, 1):
            module.zero_grad()
            mine = [group.share_of(values) for values in savi_batch(num_frames, side)]
            (losses(*mine)["loss"] * len(mine[0]) / 3 * group.size).backward()
            found.append(gradients(module))
        return found

    def main():
        launcher = os.environ[LAUNCHER]
        if behaviour == "exchange":  # an ended launcher is noticed
            os.environ[LAUNCHER] = "1"
            try:
                die_with_launcher()
            except ConnectionError as error:
                noticed = str(error)
            os.environ[LAUNCHER] = launcher
        with joined("cpu") as group:
            write(f"pid{group.rank}", os.getpid())
            if behaviour == "exchange":
                write(f"exchanged{group.rank}", exchanged(group) | {"noticed": noticed})
                write(f"toy{group.rank}", toy_gradients(group))
                write(f"savi{group.rank}", savi_gradients(group, *json.loads(sys.argv[3])))
                if group.is_first:
                    time.sleep(3.0)
            elif behaviour == "wait":
                time.sleep(60)
            elif behaviour == "raise" and group.rank == 1:
                dist.all_reduce(torch.ones(1), async_op=True)  # what rank 0 takes no part in
                process_group.FAREWELL_SECONDS = 1
                atexit.register(time.sleep, 60)
                raise RuntimeError("the cause")
            elif behaviour == "raise":
                signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
                time.sleep(60)
            elif group.rank == 1:
                os._exit(0)
            else:
                signal.signal(signal.SIGTERM, lambda *_: None)
                try:
                    losses = group.synchronised(nn.Linear(1, 1), "cpu")
                    while True:
                        losses(torch.ones(1, 1)).backward()
                except RuntimeError:
                    write("lost", time.monotonic())
                    raise
        write(f"left{group.rank}", time.monotonic())

    if is_rank():
        try:
            main()
        except ConnectionError:
            is_default = signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
            write("refused", [time.monotonic(), is_default])
            raise
    else:
        sys.exit(launch("rank", None, 2))
"""


@pytest.fixture(scope="module")
def scripts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scripts")
    for name, text in (("toy", TOY), ("rank", RANK)):
        (folder / f"{name}.py").write_text(textwrap.dedent(text))
    return folder


@contextlib.contextmanager
def started(scripts, folder, behaviour, *words, **variables):
    with subprocess.Popen(
        [sys.executable, "rank.py", str(folder), behaviour, *words],
        cwd=scripts,
        env=quiet_environment() | variables,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_until(condition, seconds):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture(scope="module")
def exchange(scripts, tmp_path_factory):
    """The folder where two ranks wrote what they exchanged."""
    folder = tmp_path_factory.mktemp("exchange")
    arguments = json.dumps([SAVI_MODEL | {"resolution": [SIDE, SIDE]}, SIDE])
    with started(scripts, folder, "exchange", arguments) as process:
        said = process.communicate(timeout=100)[1]
    assert (process.returncode, said) == (0, "")
    return folder


@pytest.mark.slow
def test_two_ranks_exchange_flags_and_values(exchange):
    first, second = read(exchange, "exchanged")
    assert (first["group"], second["group"]) == ([0, 2, 0, True], [1, 2, 1, False])
    assert first["agree"] == second["agree"] == [True, False, True]
    assert first["share"] == second["share"] == {"of": 0}
    assert first["collect"] == second["collect"] == [[0, ""], [1, "x"]]
    assert (first["share_of"], second["share_of"]) == ("abc", "de")
    assert first["passed"] > second["arrived"]  # the barrier


@pytest.mark.slow
def test_ranks_leave_together(exchange):
    assert abs(read(exchange, "left")[0] - read(exchange, "left")[1]) < 2.0


@pytest.mark.slow
def test_a_launcher_that_ended_before_the_rank_began_is_noticed(exchange):
    assert [rank["noticed"] for rank in read(exchange, "exchanged")] == [
        "the process that launched this one has ended"
    ] * 2


def assert_same_gradients(found, expected):
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert (found[name] is None) == (values is None), name
        if values is not None:
            difference = torch.tensor(found[name]) - torch.tensor(values)
            assert difference.abs().max() < 1e-6, name


@pytest.mark.slow
def test_gradients_of_two_ranks_are_those_of_one_process(exchange, scripts, monkeypatch):
    monkeypatch.syspath_prepend(scripts)
    from toy import Toy, gradients, toy_batch

    toy = Toy()
    optimizer = torch.optim.AdamW(toy.parameters(), lr=0.01, fused=True)
    ranks = read(exchange, "toy")
    for step, with_all in enumerate((False, True, True, False, True)):
        optimizer.zero_grad()
        toy(toy_batch(), with_all)["loss"].backward()
        for rank in ranks:
            assert_same_gradients(rank[step], gradients(toy))
            assert (rank[step]["sometimes.weight"] is None) == (not with_all)
        optimizer.step()


@pytest.mark.slow
def test_a_savi_on_clips_of_one_frame_leaves_its_transition_without_gradient(
    exchange, scripts, monkeypatch
):
    monkeypatch.syspath_prepend(scripts)
    from toy import SaviLoss, gradients, savi_batch

    module = SaviLoss(SAVI_MODEL | {"resolution": (SIDE, SIDE)})
    ranks = read(exchange, "savi")
    for step, num_frames in enumerate((1, 2, 1)):
        module.zero_grad()
        module(*savi_batch(num_frames, SIDE))["loss"].backward()
        for rank in ranks:
            assert_same_gradients(rank[step], gradients(module))
            assert (rank[step]["savi.transition.query.weight"] is None) == (num_frames == 1)


@pytest.mark.slow
def test_a_rank_that_raises_ends_whatever_holds_it_up_and_so_does_the_other(scripts, tmp_path):
    with started(scripts, tmp_path, "raise") as process:
        said = process.communicate(timeout=50)[1]
    assert process.returncode == 1
    assert said.count("Traceback") == 1
    assert "RuntimeError: the cause\n" in said
    last = "process 2 of 2 failed (exit status 1, see above); the others were stopped\n"
    assert said.endswith(last)
    assert not any(map(is_running, read(tmp_path, "pid")))


@pytest.mark.slow
def test_ranks_die_with_a_launcher_that_is_killed(scripts, tmp_path):
    with started(scripts, tmp_path, "wait") as process:
        wait_until(lambda: all((tmp_path / f"pid{rank}").exists() for rank in range(2)), 60)
        pids = read(tmp_path, "pid")
        assert all(map(is_running, pids))
        process.kill()
        process.wait()
    wait_until(lambda: not any(map(is_running, pids)), 2.0)


@pytest.mark.slow
def test_a_rank_without_a_launcher_says_that_it_lost_another_one(scripts, tmp_path):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    told = {"WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
    told |= {"TORCHELASTIC_RUN_ID": "by hand", "OCVP_LAUNCHER": str(os.getpid())}
    ranks = [
        started(scripts, tmp_path, "leave", RANK=str(rank), LOCAL_RANK=str(rank), **told)
        for rank in range(2)
    ]
    with ranks[0] as first, ranks[1] as second:
        said = first.communicate(timeout=60)[1]
        second.communicate(timeout=60)
    assert (first.returncode, second.returncode) == (1, 0)
    assert "ConnectionError: process 1 of 2 stopped, because another one has ended" in said
    # Before it says so, it gives a launcher time to stop it, by a signal that it no longer notes.
    refused, is_default = json.loads((tmp_path / "refused").read_text())
    assert refused - json.loads((tmp_path / "lost").read_text()) > 2.0
    assert is_default


def test_a_group_of_one_is_free(monkeypatch):
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    module = nn.Linear(1, 1)
    with joined("cpu") as group:
        assert group == Group(0, 1, 0)
        assert group.is_first
        assert group.agree(True, False) == (True, False)
        assert group.share("value") == "value"
        assert group.collect("value") == ["value"]
        assert group.share_of([1, 2]) == [1, 2]
        assert group.synchronised(module, "cpu") is module
        group.barrier()
        assert not torch.distributed.is_initialized()


@pytest.mark.parametrize("num_parts", range(1, 8))
def test_parts_make_up_the_batch_and_differ_by_at_most_one(num_parts):
    for size in range(25):
        items = list(range(size))
        parts = [part_of(items, number, num_parts) for number in range(num_parts)]
        assert [item for part in parts for item in part] == items
        sizes = [len(part) for part in parts]
        assert sizes == sorted(sizes, reverse=True)
        assert sizes[0] - sizes[-1] <= 1
        assert parts == [Group(rank, num_parts).share_of(items) for rank in range(num_parts)]


@pytest.fixture
def two_ranks(monkeypatch):
    """Make this process the second of two ranks, and set how many GPUs torch sees."""
    told = {"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "2"}
    told |= {"LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    return lambda number: monkeypatch.setattr(torch.cuda, "device_count", lambda: number)


@pytest.mark.parametrize(
    ("name", "num_gpus", "expected"),
    [
        ("auto", 0, "cpu"),
        ("auto", 2, "cuda:1"),
        ("cuda", 4, "cuda:1"),
        ("cpu", 0, "cpu"),
        ("cpu", 2, "cpu"),
    ],
)
def test_each_rank_gets_a_gpu_of_its_own_or_the_cpu(two_ranks, name, num_gpus, expected):
    two_ranks(num_gpus)
    assert device_of_rank(name) == expected


@pytest.mark.parametrize("name", ["auto", "cuda"])
def test_more_ranks_than_gpus_are_refused_with_both_numbers(two_ranks, name):
    two_ranks(1)
    with pytest.raises(ValueError, match=r"asks for 2 processes .* torch sees 1 CUDA devices"):
        device_of_rank(name)
    with pytest.raises(ValueError, match=r"asks for 3 processes .* torch sees 1 CUDA devices"):
        check_devices(name, 3)


@pytest.mark.parametrize("name", ["cuda:0", "mps"])
def test_one_device_is_not_shared(two_ranks, name):
    two_ranks(4)
    with pytest.raises(ValueError, match=rf"runtime.device is {name} for 2 processes"):
        device_of_rank(name)


def test_one_process_gets_what_was_asked_for(monkeypatch):
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    assert [device_of_rank(name) for name in ("auto", "cuda:3")] == ["auto", "cuda:3"]

"""Where a program computes."""

import pytest
import torch

from ocvp.compute.device import compiled, keep_large_buffers, prepare_device, set_tf32


@pytest.fixture(autouse=True)
def threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_the_cpu_gets_the_threads_that_are_asked_for():
    assert prepare_device("cpu", 2) == torch.device("cpu")
    assert torch.get_num_threads() == 2
    prepare_device("cpu", 1)
    assert torch.get_num_threads() == 1


@pytest.mark.parametrize(("count", "expected"), [(0, "cpu"), (2, "cuda")])
def test_auto_takes_a_gpu_where_there_is_one(monkeypatch, count, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    assert prepare_device("auto", 1).type == expected


@pytest.mark.parametrize(
    ("name", "count", "allowed"), [("cuda", 0, False), ("cuda:1", 1, False), ("cuda:1", 2, True)]
)
def test_a_gpu_that_is_not_there_is_named(monkeypatch, name, count, allowed):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    if allowed:
        assert prepare_device(name, 1) == torch.device("cuda", 1)
        return
    with pytest.raises(ValueError, match=f"runtime.device is {name}, but torch sees {count} CUDA"):
        prepare_device(name, 1)


def test_a_missing_mps_is_named(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ValueError, match=r"runtime.device is mps, .* choose cpu or auto"):
        prepare_device("mps", 1)


def test_keeping_buffers_does_nothing_elsewhere_than_on_linux(monkeypatch):
    calls = []
    monkeypatch.setattr("ocvp.compute.device.ctypes.CDLL", lambda name: calls.append(name))
    monkeypatch.setattr("ocvp.compute.device.sys.platform", "darwin")
    keep_large_buffers()
    assert calls == []


def test_keeping_buffers_survives_another_c_library(monkeypatch):
    def missing(name):
        raise OSError(name)

    monkeypatch.setattr("ocvp.compute.device.ctypes.CDLL", missing)
    monkeypatch.setattr("ocvp.compute.device.sys.platform", "linux")
    keep_large_buffers()


def test_full_float32_unless_a_training_asks_for_tf32():
    def settings():
        backends = torch.backends
        return backends.cuda.matmul.fp32_precision, backends.cudnn.conv.fp32_precision

    prepare_device("cpu", 1, tf32=True)
    assert settings() == ("tf32", "tf32")
    prepare_device("cpu", 1)
    assert "tf32" not in settings()


def test_compiling_without_a_compiler_is_refused(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ValueError, match=r"no C\+\+ compiler \(no-such-compiler, g\+\+"):
        compiled(torch.exp, True)
    assert compiled(torch.exp, False) is torch.exp


@pytest.mark.filterwarnings("error")
def test_tf32_is_set_where_every_reader_of_torch_sees_it():
    backends = torch.backends
    on_cpu = backends.mkldnn.matmul.fp32_precision
    before = torch.get_float32_matmul_precision() != "highest"
    try:
        for enabled in (True, False, True, True, False):
            set_tf32(enabled)
            for setting in (backends.cuda.matmul, backends.cudnn.conv, backends.cudnn.rnn):
                assert (setting.fp32_precision == "tf32") is enabled
            # torch.compile reads these older settings, and fails where the two disagree
            assert torch.get_float32_matmul_precision() == ("high" if enabled else "highest")
            assert backends.cuda.matmul.allow_tf32 is enabled
            assert backends.cudnn.allow_tf32 is enabled
            assert backends.mkldnn.matmul.fp32_precision == on_cpu
    finally:
        set_tf32(before)

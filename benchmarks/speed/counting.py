"""What a piece of work costs, whatever the machine: operations, and bytes that operators touch."""

import contextlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode


def count(run: Callable[[], Any]) -> tuple[int, int]:
    """Return the operations of some work, and the bytes that it reads and writes.

    Args:
        run: Does it once.

    Returns:
        Operations: multiplications and additions of convolutions and matrix products, each counted
        as one (torch's FlopCounterMode); element-wise ones are left out. Bytes: arguments and
        results of every operator that torch calls, views apart, as if each came from memory.
    """
    counter, traffic = FlopCounterMode(display=False), Traffic()
    with decomposed(), counter:
        run()
    with traffic:
        run()
    return counter.get_total_flops(), traffic.num_bytes


@contextlib.contextmanager
def decomposed() -> Iterator[None]:
    """Let torch compute attention and LSTMs by matrix products, which are counted.

    FlopCounterMode (torch 2.15) counts nothing for LSTMs of oneDNN and cuDNN.
    """
    with (
        warnings.catch_warnings(action="ignore"),  # of TF32 on Intel's GPUs, wherever it runs
        sdpa_kernel(SDPBackend.MATH),
        torch.backends.mkldnn.flags(enabled=False),
        torch.backends.cudnn.flags(enabled=False),
    ):
        yield


class Traffic(TorchDispatchMode):
    """Adds up the sizes of what operators read and write."""

    def __init__(self) -> None:
        super().__init__()
        self.num_bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        results = func(*args, **(kwargs or {}))
        if not is_view(func):
            self.num_bytes += sum(map(size_of, tree_leaves([args, kwargs, results])))
        return results


def is_view(func: Any) -> bool:
    """Tell whether an operator only looks at its argument in another way."""
    returned = [value.alias_info for value in func._schema.returns]
    return any(alias is not None and not alias.is_write for alias in returned)


def size_of(value: Any) -> int:
    """Return the bytes of a tensor that hold something; 0 for what is none."""
    if not isinstance(value, Tensor):
        return 0
    # What is expanded lies in memory once.
    repeats = [size for size, step in zip(value.shape, value.stride(), strict=True) if step == 0]
    number = value.numel()
    for size in repeats:
        number //= max(size, 1)
    return number * value.element_size()

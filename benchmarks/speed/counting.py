"""What a piece of work costs, whatever the machine: operations, and bytes that operators touch."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
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
    traffic, counter = Traffic(), FlopCounterMode(display=False, custom_mapping=RNNS)
    with traffic, counter:
        run()
    return counter.get_total_flops(), traffic.num_bytes


def rnn_operations(inputs: Sequence[int], *others: Any, **_: Any) -> int:
    """Return the operations of an LSTM that is one operator.

    Args:
        inputs: Shape (T, B, I), or (B, T, I).
        others: Shapes of the other arguments, the weights first: each for itself (oneDNN, one
            layer) or in a list (cuDNN, all layers).
    """
    weights = others[0] if isinstance(others[0], list) else others[:4]
    return 2 * math.prod(inputs[:2]) * sum(math.prod(shape) for shape in weights if len(shape) == 2)


def rnn_backward_operations(*arguments: Any, **options: Any) -> int:
    """Return the operations of its backward pass: gradients of inputs, and of weights."""
    return 2 * rnn_operations(*arguments, **options)


RNNS = {
    torch.ops.aten.mkldnn_rnn_layer: rnn_operations,
    torch.ops.aten.mkldnn_rnn_layer_backward: rnn_backward_operations,
    torch.ops.aten._cudnn_rnn: rnn_operations,
    torch.ops.aten._cudnn_rnn_backward: rnn_backward_operations,
}
"""Operators of which FlopCounterMode (torch 2.15) counts nothing."""


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
    """Return the bytes of a tensor; what is expanded lies in memory once. 0 for what is none."""
    if not isinstance(value, Tensor):
        return 0
    sides = zip(value.shape, value.stride(), strict=True)
    return math.prod(size for size, step in sides if step or not size) * value.element_size()

"""Random draws as pure functions of what they are for.

Every draw about data order, windows and slot noise depends on (seed, purpose, epoch, video, ...)
alone. The number of workers, processes or restarts can then not change it.
"""

import hashlib

import numpy as np


def derived_seed(seed: int, *purpose: str | int) -> int:
    """Return a seed in [0, 2**63) that depends on `seed` and every part of `purpose`."""
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in (seed, *purpose))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def generator(seed: int, *purpose: str | int) -> np.random.Generator:
    """Return NumPy's default generator for one purpose, for example `("window", epoch, video)`."""
    return np.random.default_rng(derived_seed(seed, *purpose))

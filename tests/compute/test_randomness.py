"""Draws as pure functions of what they are for."""

import hashlib
import itertools
import subprocess
import sys

import numpy as np
import pytest

from ocvp.compute.randomness import derived_seed, generator


def test_known_answer():
    # By hand: the first eight bytes of the sha256 of the parts, little-endian, without one bit.
    text = "int:1\x1fstr:window\x1fint:3\x1fint:7"
    whole = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")
    assert derived_seed(1, "window", 3, 7) == whole // 2


def test_the_same_purpose_draws_the_same_in_any_process():
    code = (
        "from ocvp.compute.randomness import generator; "
        "print(generator(5, 'noise', 2).integers(2**60))"
    )
    drawn = [
        int(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
        for _ in range(2)
    ]
    assert drawn == [int(generator(5, "noise", 2).integers(2**60))] * 2


def test_draws_do_not_depend_on_those_before():
    first = generator(1, "window", 0, 3).normal(size=4)
    for video in range(3):
        generator(1, "window", 0, video).normal(size=100)
    np.random.default_rng().normal(size=7)
    np.testing.assert_array_equal(generator(1, "window", 0, 3).normal(size=4), first)


def test_every_part_counts():
    purposes = [
        (1, "window", 0, 0),
        (2, "window", 0, 0),
        (1, "noise", 0, 0),
        (1, "window", 1, 0),
        (1, "window", 0, 1),
        (1, "window", 0),
        (1, "window", "0", 0),
        (1, "window", 0, 0, ""),
    ]
    assert len({derived_seed(*purpose) for purpose in purposes}) == len(purposes)


@pytest.mark.parametrize(
    ("one", "two"), [(("ab", "c"), ("a", "bc")), ((1, 12), (11, 2)), (("a", 1), ("a1",))]
)
def test_parts_do_not_run_together(one, two):
    assert derived_seed(0, *one) != derived_seed(0, *two)


def test_seeds_fit_what_takes_them():
    seeds = [derived_seed(seed, "initialisation") for seed in range(1000)]
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert len(set(seeds)) == 1000


def test_seeds_are_spread_evenly():
    # The mean of 10,000 draws from [0, 1) is within five standard errors of one half.
    seeds = itertools.islice((derived_seed(0, "spread", i) for i in itertools.count()), 10_000)
    shares = np.array([seed / 2**63 for seed in seeds])
    assert abs(shares.mean() - 0.5) < 5 / np.sqrt(12 * 10_000)

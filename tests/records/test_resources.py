"""What rules ask for: the table, what a config says instead, and more for a job tried again."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from snakemake_runs import run_snakemake, smallest_study

from ocvp.config.tree import Config
from ocvp.config.whole import read_config
from ocvp.records.rules import RULES, check_rules, resource


def config_with(**resources: dict[str, int]) -> Config:
    """Return the config of the smallest study with these resources."""
    return read_config(smallest_study() | {"resources": resources})


def test_a_rule_asks_for_what_the_table_says() -> None:
    config = config_with()
    for rule, said in RULES.items():
        for kind in ("threads", "mem_mb", "runtime", "gpu"):
            assert resource(config, rule, kind) == getattr(said, kind)
    assert [rule for rule, said in RULES.items() if said.threads is None] == [
        "fit_savi",
        "fit_predictor",
    ]


def test_a_rule_of_the_config_comes_before_every_rule_and_both_before_the_table() -> None:
    config = config_with(
        every_rule={"runtime": 7, "gpu": 1, "mem_mb": 300}, score_savi={"runtime": 9, "gpu": 0}
    )
    assert resource(config, "score_savi", "runtime") == 9
    assert resource(config, "score_savi", "gpu") == 0, "0 is said, too"
    assert resource(config, "score_savi", "mem_mb") == 300
    assert resource(config, "summarize", "runtime") == 7
    assert resource(config, "summarize", "threads") == RULES["summarize"].threads


GROWTH: dict[str, tuple[dict[str, dict[str, int]], list[int]]] = {
    "no bound": ({}, [4000, 8000, 12000]),
    "a bound": ({"fit_savi": {"max_mem_mb": 9000}}, [4000, 8000, 9000]),
    "a bound of every rule": ({"every_rule": {"max_mem_mb": 9000}}, [4000, 8000, 9000]),
    "its own bound first": (
        {"every_rule": {"max_mem_mb": 9000}, "fit_savi": {"max_mem_mb": 10000}},
        [4000, 8000, 10000],
    ),
    "a bound below the first amount": ({"every_rule": {"max_mem_mb": 1000}}, [1000] * 3),
    "a bound of something else": ({"every_rule": {"max_runtime": 1}}, [4000, 8000, 12000]),
    "another first amount": (
        {"fit_savi": {"mem_mb": 500}, "every_rule": {"max_mem_mb": 1200}},
        [500, 1000, 1200],
    ),
}


@pytest.mark.parametrize(("resources", "amounts"), GROWTH.values(), ids=GROWTH)
def test_memory_grows_with_each_try_up_to_its_bound(
    resources: dict[str, dict[str, int]], amounts: list[int]
) -> None:
    config = config_with(**resources)
    assert [resource(config, "fit_savi", "mem_mb", n) for n in (1, 2, 3)] == amounts


def test_the_time_limit_grows_and_threads_and_gpus_do_not() -> None:
    config = config_with(score_savi={"gpu": 1}, every_rule={"max_runtime": 70})
    for kind, amounts in {"runtime": [30, 60, 70], "threads": [2] * 3, "gpu": [1] * 3}.items():
        assert [resource(config, "score_savi", kind, n) for n in (1, 2, 3)] == amounts


def test_a_rule_that_does_not_exist_is_named_with_those_that_do() -> None:
    with pytest.raises(ValueError, match=r"resources names fit_slots; the rules are make_chunk, "):
        check_rules(config_with(fit_slots={"gpu": 1}))


def asked(text: str, name: str) -> list[int]:
    """Return what Snakemake says that its jobs ask for, try by try."""
    return [int(n) for n in re.findall(rf"^    resources: .*\b{name}=(\d+)", text, re.MULTILINE)]


@pytest.mark.parametrize(("options", "memory"), [((), 300), (("--resources", "mem_mb=250"), 250)])
def test_a_job_that_fails_is_tried_again_with_more(
    tmp_path: Path, options: tuple[str, ...], memory: int
) -> None:
    """Of what the whole run has no more is asked: a job that would need more runs nevertheless."""
    study: dict[str, Any] = smallest_study()
    study["resources"] = {
        "make_chunk": {"mem_mb": 100, "runtime": 10},
        "every_rule": {"max_runtime": 20},
    }
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study), encoding="utf-8")
    failing = tmp_path / "bin" / "python"
    failing.parent.mkdir()
    failing.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    failing.chmod(0o755)
    run = run_snakemake(
        *("results/tiny/videos/val/chunk0.h5", "--cores", "1", "--retries", "2"),
        *("--configfile", tmp_path / "study.yaml", *options),
        folder=tmp_path,
        python=failing,
    )
    assert run.status == 1
    assert asked(run.text, "runtime") == [10, 20, 20]
    assert asked(run.text, "mem_mb") == [100, 200, memory]

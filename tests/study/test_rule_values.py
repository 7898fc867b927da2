"""Functions that Snakemake calls by the names of their parameters, called as it does."""

import inspect
import json
from types import SimpleNamespace

import pytest
import yaml
from snakemake_runs import PROJECT

from ocvp.config.whole import read_config
from ocvp.study.jobs import Jobs
from ocvp.study.rule_values import RuleValues, slot_chunk_options, uncounted

TINY = yaml.safe_load((PROJECT / "tests/helpers/tiny.yaml").read_text(encoding="utf-8"))


def values_of(**changes):
    config = read_config(TINY | changes)
    return RuleValues(config, Jobs(config))


def test_what_does_not_count_asks_for_resources_or_input():
    function = uncounted(lambda wildcards: f"of {wildcards}")
    assert list(inspect.signature(function).parameters) == ["wildcards", "resources"]
    assert function(wildcards="one", resources=None) == "of one"
    assert list(inspect.signature(slot_chunk_options).parameters) == ["wildcards", "input"]
    assert "resources" in inspect.signature(values_of().training_runtime).parameters


@pytest.mark.parametrize(("chunks", "options"), [([], []), (["a", "b"], ["--chunks", "a", "b"])])
def test_chunks_of_slots_are_named(chunks, options):
    assert slot_chunk_options(None, SimpleNamespace(chunks=chunks)) == options


@pytest.mark.parametrize(("resources", "processes"), [({}, 1), ({"gpu": 0}, 1), ({"gpu": 3}, 3)])
def test_a_training_has_as_many_processes_as_gpus(resources, processes):
    assert json.loads(values_of().training_runtime(None, resources))["processes"] == processes


def test_memory_and_time_grow_with_each_try():
    values = values_of(resources={"fit_savi": {"mem_mb": 1000, "runtime": 7, "threads": 3}})
    assert values.resource_of("fit_savi", "threads") == 3
    assert values.resource_of("fit_savi", "mem_mb")(wildcards=None, attempt=2) == 2000
    assert values.resource_of("fit_savi", "runtime")(wildcards=None, attempt=3) == 21

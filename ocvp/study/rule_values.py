"""What rules put into params and resources: functions that Snakemake calls for each job.

A params function that asks for `resources` or `input` makes nothing stale: Snakemake does not
compare what it returns.
"""

from collections.abc import Callable
from typing import Any

from ocvp.config.tree import Config
from ocvp.config.whole import runtime_json
from ocvp.records.rules import GROWING, resource
from ocvp.study.jobs import Jobs

Param = Callable[[Any], str]


def uncounted(function: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    """Return a params function that makes nothing stale, since it asks for resources."""

    def of(wildcards: Any, resources: Any) -> Any:
        return function(wildcards)

    return of


def slot_chunk_options(wildcards: Any, input: Any) -> list[str]:
    """Return the options that name the chunks of a job's input, which do not count."""
    return ["--chunks", *input.chunks] if input.chunks else []


class RuleValues:
    """What depends on the study.

    Args:
        config: The whole config.
        jobs: Its jobs.
    """

    def __init__(self, config: Config, jobs: Jobs):
        self._config = config
        self._jobs = jobs

    def stage_config(self, rule: str) -> Param:
        """Return a params function: the part of the config that a rule's product depends on."""
        return lambda wildcards: self._jobs.config_part(rule, wildcards)

    def stage_code(self, rule: str) -> Param:
        """Return a params function: the digest of the code that a rule runs."""
        # Not while the rules are read: each job reads them, and needs the digest of its own alone.
        return lambda wildcards: self._jobs.code(rule, wildcards)

    def training_runtime(self, wildcards: Any, resources: Any) -> str:
        """Return where and how fast to train, with as many processes as the job has GPUs."""
        # An importing workflow may give a rule other resources, without GPUs.
        return runtime_json(self._config, processes=max(resources.get("gpu", 0), 1))

    def resource_of(self, rule: str, kind: str) -> Any:
        """Return how much of `threads` or `gpu` a rule gets; of `mem_mb` or `runtime` a function.

        They grow when a job is tried again.
        """
        if kind not in GROWING:
            return resource(self._config, rule, kind)
        return lambda wildcards, attempt: resource(self._config, rule, kind, attempt)

"""The rules of the workflow: one row each, and what follows from it.

A row says which code the rule runs, which part of the config its product depends on, where the
product lies, and what its jobs ask for. A checkpoint loads the class that it needs when it is read,
so a row names what the program loads besides what it imports. What only shows something (pictures
for TensorBoard) is imported within functions and listed nowhere: it does not change a product.
"""

import functools
from typing import Any, NamedTuple

from ocvp.config import parts
from ocvp.config.section import canonical_json
from ocvp.config.tree import STUDIES, Config
from ocvp.data.sources import source_modules
from ocvp.records.digests import code_digest, package_files_digest

OF_SEEDS = "{dataset}/{savi}"
SAVI = f"{OF_SEEDS}/seed{{seed}}"
PREDICTOR = f"{SAVI}/{{predictor}}"
MODELS = ("ocvp.models.savi", "ocvp.models.predictors")


class Rule(NamedTuple):
    """What the workflow needs to know of one of its rules."""

    program: str
    """The module that its jobs run."""
    product: str
    """Path of what a job makes (of the first file), from the folder of `results/`."""
    part: parts.Part | None
    """The part of the config that the product depends on; None: on the study, by its inputs."""
    loads: tuple[str, ...] = ()
    """Modules that the program loads by need."""
    files: str = ""
    """Pattern of what it reads of the package besides modules, from its folder; empty: nothing."""
    threads: int | None = 1
    """Cores; None: `training.num_threads` for each process of the training."""
    mem_mb: int = 1000
    """Memory in MB, enough for the embedded data set like the others."""
    runtime: int = 30
    """Time limit in minutes."""
    gpu: int = 0
    """GPUs."""


TRAINING: dict[str, Any] = {"threads": None, "mem_mb": 4000, "runtime": 1440}
SCORING: dict[str, Any] = {"threads": 2, "mem_mb": 4000}
"""Of what runs a trained model over videos or slots."""

RULES: dict[str, Rule] = {
    "make_chunk": Rule(
        "ocvp.prepare_data", "{dataset}/videos/{split}/chunk{chunk}.h5", parts.videos, runtime=60
    ),
    "make_videos": Rule(
        "ocvp.prepare_data", "{dataset}/videos/{split}.h5", parts.videos, runtime=60
    ),
    "fit_savi": Rule("ocvp.train_savi", f"{SAVI}/savi.pt", parts.savi_training, **TRAINING),
    "import_savi": Rule(
        "ocvp.import_checkpoint", f"{SAVI}/savi.pt", parts.imported, MODELS[:1], mem_mb=2000
    ),
    "score_savi": Rule(
        "ocvp.evaluate_savi", f"{SAVI}/evaluation.json", parts.savi_scores, MODELS[:1], **SCORING
    ),
    "encode_chunk": Rule(
        "ocvp.extract_slots",
        f"{SAVI}/slots/{{split}}/chunk{{chunk}}.h5",
        parts.encoding,
        MODELS[:1],
        **SCORING,
    ),
    "encode_slots": Rule(
        "ocvp.extract_slots", f"{SAVI}/slots/{{split}}.h5", parts.encoding, MODELS[:1], **SCORING
    ),
    "fit_predictor": Rule(
        "ocvp.train_predictor",
        f"{PREDICTOR}/predictor.pt",
        parts.predictor_training,
        MODELS[:1],
        **TRAINING,
    ),
    "import_predictor": Rule(
        "ocvp.import_checkpoint",
        f"{PREDICTOR}/predictor.pt",
        parts.imported,
        MODELS[1:],
        mem_mb=2000,
    ),
    "score_predictor": Rule(
        "ocvp.evaluate_predictor",
        f"{PREDICTOR}/evaluation/{{protocol}}.json",
        parts.predictor_scores,
        MODELS,
        **SCORING,
    ),
    "probe_savi": Rule(
        "ocvp.probe_savi", f"{SAVI}/probe.json", parts.savi_scores, MODELS[:1], **SCORING
    ),
    "probe_predictor": Rule(
        "ocvp.probe_predictor",
        f"{PREDICTOR}/probe/{{protocol}}.json",
        parts.predictor_scores,
        MODELS,
        **SCORING,
    ),
    "draw_slots": Rule(
        "ocvp.figures", f"{SAVI}/figures/slots.{{format}}", parts.figures, MODELS[:1], mem_mb=2000
    ),
    "draw_rollouts": Rule(
        "ocvp.figures",
        f"{PREDICTOR}/figures/{{protocol}}_video0.{{format}}",
        parts.figures,
        MODELS,
        mem_mb=2000,
    ),
    "draw_comparisons": Rule(
        "ocvp.figures",
        f"{SAVI}/figures/{{protocol}}_video0.{{format}}",
        parts.figures,
        MODELS,
        mem_mb=2000,
    ),
    "draw_curves": Rule(
        "ocvp.curves", f"{SAVI}/figures/{{protocol}}_curves.{{format}}", parts.figures
    ),
    "draw_seed_curves": Rule(
        "ocvp.curves", f"{OF_SEEDS}/figures/{{protocol}}_curves.{{format}}", parts.figures
    ),
    "draw_probes": Rule(
        "ocvp.curves", f"{SAVI}/figures/{{protocol}}_probe.{{format}}", parts.figures
    ),
    "make_page": Rule(
        "ocvp.make_page",
        f"{STUDIES}/{{study}}/rollouts.html",
        parts.page,
        MODELS,
        files="pictures/page/*",
        mem_mb=2000,
    ),
    "summarize": Rule("ocvp.summarize", "summary.csv", None),
    "collect_training_time": Rule("ocvp.collect_training_time", "training_time.csv", None),
}

EVERY_RULE = "every_rule"
"""Stands in a config's `resources` for all rules; what is said of one rule comes before it."""

GROWING = {"mem_mb": "max_mem_mb", "runtime": "max_runtime"}
"""What grows when a job is tried again, and the key of its bound."""


@functools.cache
def stage_digest(rule: str, kind: str | None = None) -> str:
    """Return the digest of all code that a rule runs (see `ocvp.records.digests.code_digest`).

    Args:
        rule: The rule.
        kind: Kind of the data set whose videos the rule makes. It counts for merging too: the
            chunks are deleted after it, so only the merged file can be found stale.
    """
    source = () if kind is None else source_modules(kind)
    code = code_digest(RULES[rule].program, *RULES[rule].loads, *source)
    return f"{code} {package_files_digest(RULES[rule].files)}" if RULES[rule].files else code


def stage_config(config: Config, rule: str, names: parts.Names) -> str:
    """Return the part of the config on which a job's product depends, as canonical JSON.

    Args:
        config: The whole config.
        rule: Name of a rule that has such a part.
        names: The job's wildcards.
    """
    part = RULES[rule].part
    assert part is not None, f"rule {rule} has no config of its own"
    return canonical_json(part(config, names))


# --- resources ----------------------------------------------------------------------------------


def check_rules(config: Config) -> None:
    """Check that a config's `resources` name existing rules only.

    Raises:
        ValueError: If they name another one.
    """
    unknown = set(config.resources) - set(RULES) - {EVERY_RULE}
    if unknown:
        raise ValueError(
            f"config is not valid:\n  resources names {', '.join(sorted(unknown))}; "
            f"the rules are {', '.join(RULES)}, and {EVERY_RULE} stands for all of them"
        )


def resource(config: Config, rule: str, kind: str, attempt: int = 1) -> int | None:
    """Return how much a rule asks for.

    Args:
        config: The whole config.
        rule: The rule.
        kind: `threads`, `mem_mb`, `runtime` (minutes) or `gpu`.
        attempt: Number of the try, from 1: memory and time limit grow with it, up to their bounds.

    Returns:
        The amount; None for the threads of a training where the config names none.
    """
    value = _amount(config, rule, kind)
    if value is None or kind not in GROWING:
        return value
    bound = _amount(config, rule, GROWING[kind])
    return value * attempt if bound is None else min(value * attempt, bound)


def _amount(config: Config, rule: str, key: str) -> int | None:
    """Return what the first of these names: the config of the rule, of every rule, the table."""
    for source in (config.resources.get(rule), config.resources.get(EVERY_RULE), RULES[rule]):
        value = getattr(source, key, None)
        if value is not None:
            return int(value)
    return None

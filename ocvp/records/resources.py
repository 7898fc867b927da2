"""What each rule of the workflow asks for: the one table, and what a config says otherwise."""

from ocvp.config.tree import Config, RuleResources

TABLE: dict[str, RuleResources] = {
    "make_chunk": RuleResources(threads=1, mem_mb=1000, runtime=60, gpu=0),
    "make_videos": RuleResources(threads=1, mem_mb=1000, runtime=60, gpu=0),
    "fit_savi": RuleResources(mem_mb=4000, runtime=1440, gpu=0),
    "import_savi": RuleResources(threads=1, mem_mb=2000, runtime=30, gpu=0),
    "score_savi": RuleResources(threads=2, mem_mb=4000, runtime=120, gpu=0),
    "encode_chunk": RuleResources(threads=2, mem_mb=4000, runtime=120, gpu=0),
    "encode_slots": RuleResources(threads=2, mem_mb=4000, runtime=120, gpu=0),
    "fit_predictor": RuleResources(mem_mb=4000, runtime=1440, gpu=0),
    "import_predictor": RuleResources(threads=1, mem_mb=2000, runtime=30, gpu=0),
    "score_predictor": RuleResources(threads=2, mem_mb=4000, runtime=120, gpu=0),
    "draw_slots": RuleResources(threads=1, mem_mb=2000, runtime=30, gpu=0),
    "draw_rollouts": RuleResources(threads=1, mem_mb=2000, runtime=30, gpu=0),
    "draw_curves": RuleResources(threads=1, mem_mb=1000, runtime=30, gpu=0),
    "summarize": RuleResources(threads=1, mem_mb=1000, runtime=30, gpu=0),
    "collect_training_time": RuleResources(threads=1, mem_mb=1000, runtime=30, gpu=0),
}
"""Rule to what it asks for, enough for the embedded data set. Trainings without `threads` take
`training.num_threads` for each of their processes."""

EVERY_RULE = "every_rule"
"""Stands in a config for all rules; what is said of one rule comes before it."""

GROWING = {"mem_mb": "max_mem_mb", "runtime": "max_runtime"}
"""What grows when a job is tried again, and the key of its bound."""


def check_rules(config: Config) -> None:
    """Check that a config names existing rules only.

    Raises:
        ValueError: If it names another one.
    """
    unknown = set(config.resources) - set(TABLE) - {EVERY_RULE}
    if unknown:
        raise ValueError(
            f"config is not valid:\n  resources names {', '.join(sorted(unknown))}; "
            f"the rules are {', '.join(TABLE)}, and {EVERY_RULE} stands for all of them"
        )


def resource(config: Config, rule: str, kind: str, attempt: int = 1) -> int | None:
    """Return how much a rule asks for.

    Args:
        config: The whole config.
        rule: The rule.
        kind: `threads`, `mem_mb`, `runtime` (minutes) or `gpu`.
        attempt: Number of the try, from 1: memory and time limit grow with it, up to their bounds.

    Returns:
        The amount; None for the threads of a training that are not said.
    """
    value = _said(config, rule, kind)
    if value is None or kind not in GROWING:
        return value
    bound = _said(config, rule, GROWING[kind])
    return value * attempt if bound is None else min(value * attempt, bound)


def _said(config: Config, rule: str, key: str) -> int | None:
    """Return what the first of these says: the config of the rule, of every rule, the table."""
    for said in (config.resources.get(rule), config.resources.get(EVERY_RULE), TABLE[rule]):
        value = getattr(said, key, None)
        if value is not None:
            return int(value)
    return None

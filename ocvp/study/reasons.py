"""Why Snakemake makes something again, where params changed: by the keys of the config."""

import ast
import json
import re
from typing import Any

from ocvp.records.changes import changes_between, describe_changes

CHANGED = re.compile(
    r"(?<=Params have changed since last execution: )"
    r"Union of exclusive params before and now across all output: before: (.*?) now: (.*?) (?=;|$)"
)
"""What Snakemake (9.27) says: params that differ, as a whole."""
OTHERS = "code, or files from outside"
"""What the params are that are no config: digests."""


def readable_reason(reason: str) -> str:
    """Return a reason of Snakemake's with the keys of the config that changed, and both values.

    Where it is put otherwise than expected, it stays as it is.
    """
    return CHANGED.sub(lambda match: _difference(match) or match[0], reason)


def _difference(match: re.Match[str]) -> str:
    try:
        former, now = (ast.literal_eval(f"[{match[side]}]") for side in (1, 2))
        configs = [
            {"config": json.loads(text)}
            for params in (former, now)
            for text in params
            if text.startswith("{")
        ]
    except (SyntaxError, ValueError, AttributeError):
        return ""
    parts: list[Any] = []
    if len(configs) == 2:
        parts.append(describe_changes(changes_between(*configs)))
    if len(former) + len(now) > len(configs):
        parts.append(OTHERS)
    return "; ".join(parts) if len(configs) in (0, 2) else ""

"""Why something is made again, as Snakemake says it, and as a reader of a config does."""

import json

import pytest
from snakemake.jobs import Reason
from snakemake.persistence import ParamsChange

from ocvp.study.reasons import OTHERS, readable_reason

SAID = "Params have changed since last execution: "
CONFIG = {"model": {"num_slots": 4}, "training": {"num_steps": 100, "learning_rate": 0.1}}
LONGER = CONFIG | {"training": {"num_steps": 200, "learning_rate": 0.1}}


def reason(former, now):
    """Return what Snakemake says where these params are no longer those."""
    found = Reason()
    found.params_changed = ParamsChange(set(map(repr, former)), set(map(repr, now)), {"savi.pt"})
    return str(found)


def test_changed_keys_are_named_with_both_values():
    text = readable_reason(reason([json.dumps(CONFIG)], [json.dumps(LONGER)]))
    assert text == f"{SAID}config training.num_steps 100 -> 200"


def test_digests_are_not_shown():
    digests = ("0" * 64, "1" * 64)
    text = readable_reason(
        reason([json.dumps(CONFIG), digests[0]], [json.dumps(LONGER), digests[1]])
    )
    assert text == f"{SAID}config training.num_steps 100 -> 200; {OTHERS}"
    assert readable_reason(reason(digests[:1], digests[1:])) == SAID + OTHERS


@pytest.mark.parametrize(
    "text",
    [
        "Missing output files: a.h5",
        reason([json.dumps(CONFIG)], []),
        f"{SAID}in another way",
    ],
)
def test_all_else_stays_as_it_is(text):
    assert readable_reason(text) == text

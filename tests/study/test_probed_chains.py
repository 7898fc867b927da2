"""Which slots are probed: what the study asks for, where something is known of objects."""

from typing import Any

import pytest
from test_study import tiny

from ocvp.config.whole import read_config
from ocvp.study.chains import chains, probed_chains, slot_splits, unprobed, video_splits
from ocvp.study.jobs import Jobs
from ocvp.study.products import figures, products

PROBES = [
    "results/tiny/small/seed1/probe.json",
    "results/tiny/small/seed1/lstm/probe/short.json",
    "results/tiny/small/seed1/lstm/probe/validation.json",
    "results/tiny/small/seed1/figures/short_probe.png",
    "results/tiny/small/seed1/figures/validation_probe.png",
]
OWN = {
    "kind": "folder",
    "num_frames": 8,
    "resolution": [16, 16],
    "shares": {"train": 0.5, "val": 0.25, "test": 0.25},
}
MASKS = {"masks": "masks", "max_objects": 3}


def study(**edits: Any) -> Any:
    return read_config(tiny(**{"study__predictors": ["lstm"], **edits}))


def test_the_stage_probes_all_and_the_default_run_nothing_unless_asked():
    jobs = Jobs(study())
    assert jobs.probes(None) == PROBES
    assert jobs.asked_probes(None) == []
    assert not [product for product in products(study()) if "probe" in product.path]
    assert not [path for path in figures(study()) if "probe" in path]


def test_a_study_that_asks_has_them_as_products():
    asked = study(study__probe=True)
    assert Jobs(asked).asked_probes(None) == PROBES
    found = {product.path: product.rule for product in products(asked) if "probe" in product.path}
    assert found == dict(zip(PROBES[:3], ["probe_savi", *["probe_predictor"] * 2], strict=True))
    assert [path for path in figures(asked) if "probe" in path] == PROBES[3:]


def test_of_several_studies_those_are_probed_that_ask():
    first = {"datasets": ["tiny"], "savi": ["small"], "seeds": [1]}
    second = first | {"seeds": [2]}
    for asking, seeds in (([first | {"probe": True}, second], [1]), ([first, second], [1, 2])):
        found = probed_chains(read_config(tiny(study=asking)))
        assert [chain.seed for chain in found] == seeds
    # one that asks does so for a chain that another names too
    (chain,) = chains(read_config(tiny(study=[first | {"probe": True}, first])))
    assert chain.probed


@pytest.mark.parametrize(
    ("dataset", "is_probed"),
    [
        ({"kind": "obj3d", "num_frames": 8, "resolution": [16, 16]}, False),
        (OWN, False),
        (OWN | MASKS, True),
    ],
    ids=["Obj3D", "own films", "own films with masks"],
)
@pytest.mark.parametrize("is_asked", [False, True])
def test_without_masks_nothing_is_made_and_that_is_said_in_one_line(
    dataset, is_probed, is_asked, capsys
):
    edits = {"savi__small__model__initializer": "learned_random", "study__probe": is_asked}
    config = study(datasets__tiny=dataset, **edits)
    assert Jobs(config).probes(None) == (PROBES if is_probed else [])
    told = capsys.readouterr().err
    line = "Not probed: datasets.tiny has no masks, so nothing is known of its objects.\n"
    assert told == ("" if is_probed else line)
    assert any("probe" in product.path for product in products(config)) == (is_probed and is_asked)


def test_nothing_is_scored_on_what_probes_are_fitted_on(capsys):
    config = study(evaluation__validation__split="train")
    assert Jobs(config).probes(None) == [path for path in PROBES if "validation" not in path]
    assert (
        "evaluation.validation.split is train, on which probes are fitted"
        in capsys.readouterr().err
    )
    config = study(savi__small__evaluation__split="train")
    assert unprobed(config) == [
        "Not probed: savi.small.evaluation.split is train, on which probes are fitted."
    ]
    assert probed_chains(config) == []


def test_a_chain_without_training_needs_what_its_probes_are_fitted_on_once_it_is_asked_for():
    edits = {"study__predictors": [], "savi__small__pretrained": "x.pt"}
    for is_asked, splits in ((False, []), (True, ["test", "train"])):
        config = study(study__probe=is_asked, **edits)
        (chain,) = chains(config)
        assert slot_splits(config, chain) == splits
        assert video_splits(config, chain) == (splits or ["test"])

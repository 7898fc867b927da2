"""The table of stages: what each program really imports is what its digest covers."""

import pytest
from conftest import FinishedStudy
from staleness_rows import EVERYTHING

from ocvp.digests import import_closure
from ocvp.stages import STAGES, stage_digest

# Imported to draw pictures for TensorBoard.
PICTURES = {"ocvp.drawing", "ocvp.overlays", "ocvp.segmentation_metrics"}
# In the params by its values.
CONFIG = {"ocvp.config"}
# A training asks for its own digest, to tell whether it may resume.
FINGERPRINT = {"ocvp.digests", "ocvp.stages"}
ALLOWED = {
    "fit_savi": CONFIG | PICTURES | FINGERPRINT,
    "fit_predictor": CONFIG | PICTURES | FINGERPRINT,
}


def test_the_table_names_the_rules_of_the_workflow():
    assert STAGES.keys() == EVERYTHING


def test_digests_of_programs_differ():
    # make_chunk and make_videos are one program.
    digests = {stage_digest(rule) for rule in STAGES}
    assert len(digests) >= 8


def test_predictors_are_no_part_of_what_makes_a_savi():
    # Written out by hand: what the edit of a predictor's module must not retrain.
    for rule in ("make_chunk", "make_videos", "fit_savi", "score_savi", "encode_slots"):
        closure = import_closure(*STAGES[rule])
        assert "ocvp.predictors" not in closure
        assert "ocvp.predictor_training" not in closure


def test_training_loads_no_metric_of_segmentation_for_a_savi():
    assert "ocvp.segmentation_metrics" not in import_closure(*STAGES["fit_savi"])


@pytest.mark.xdist_group("finished-study")
@pytest.mark.parametrize("rule", STAGES)
def test_a_program_imports_nothing_that_its_digest_leaves_out(
    rule: str, finished_study: FinishedStudy
):
    imported = finished_study.imports[rule]
    assert "ocvp.program" in imported
    closure = import_closure(*STAGES[rule])
    assert imported - closure - ALLOWED.get(rule, CONFIG) == set()


@pytest.mark.xdist_group("finished-study")
@pytest.mark.parametrize("rule", STAGES)
def test_a_digest_covers_nothing_that_its_program_does_not_import(
    rule: str, finished_study: FinishedStudy
):
    # The program itself runs as __main__.
    assert import_closure(*STAGES[rule]) - finished_study.imports[rule] == {STAGES[rule][0]}

"""Which code each rule of the workflow runs: the one table behind what is stale.

A checkpoint loads the class that it needs when it is read, so a stage names what it loads besides
what its program imports. What only shows something (pictures for TensorBoard) is imported within
functions and listed nowhere: it does not change a product.
"""

from ocvp.digests import code_digest

STAGES: dict[str, tuple[str, ...]] = {
    "make_chunk": ("ocvp.prepare_data",),
    "make_videos": ("ocvp.prepare_data",),
    "fit_savi": ("ocvp.train_savi",),
    "score_savi": ("ocvp.evaluate_savi", "ocvp.savi"),
    "encode_slots": ("ocvp.extract_slots", "ocvp.savi"),
    "fit_predictor": ("ocvp.train_predictor", "ocvp.savi"),
    "score_predictor": ("ocvp.evaluate_predictor", "ocvp.savi", "ocvp.predictors"),
    "draw_slots": ("ocvp.figures", "ocvp.savi"),
    "draw_rollouts": ("ocvp.figures", "ocvp.savi", "ocvp.predictors"),
    "draw_curves": ("ocvp.figures",),
    "summarize": ("ocvp.summarize",),
}
"""Rule to its program, first, and the modules that the program loads by need."""


def stage_digest(rule: str) -> str:
    """Return the digest of all code that a rule runs (see `ocvp.digests.code_digest`)."""
    return code_digest(*STAGES[rule])

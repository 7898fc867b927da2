"""Which code each rule of the workflow runs: the one table behind what is stale.

A checkpoint loads the class that it needs when it is read, so a stage names what it loads besides
what its program imports. What only shows something (pictures for TensorBoard) is imported within
functions and listed nowhere: it does not change a product.
"""

import functools

from ocvp.records.digests import code_digest

STAGES: dict[str, tuple[str, ...]] = {
    "make_chunk": ("ocvp.prepare_data",),
    "make_videos": ("ocvp.prepare_data",),
    "fit_savi": ("ocvp.train_savi",),
    "import_savi": ("ocvp.import_checkpoint", "ocvp.models.savi"),
    "score_savi": ("ocvp.evaluate_savi", "ocvp.models.savi"),
    "encode_chunk": ("ocvp.extract_slots", "ocvp.models.savi"),
    "encode_slots": ("ocvp.extract_slots", "ocvp.models.savi"),
    "fit_predictor": ("ocvp.train_predictor", "ocvp.models.savi"),
    "import_predictor": ("ocvp.import_checkpoint", "ocvp.models.predictors"),
    "score_predictor": ("ocvp.evaluate_predictor", "ocvp.models.savi", "ocvp.models.predictors"),
    "draw_slots": ("ocvp.figures", "ocvp.models.savi"),
    "draw_rollouts": ("ocvp.figures", "ocvp.models.savi", "ocvp.models.predictors"),
    "draw_curves": ("ocvp.figures",),
    "summarize": ("ocvp.summarize",),
    "collect_training_time": ("ocvp.collect_training_time",),
}
"""Rule to its program, first, and the modules that the program loads by need."""

SOURCE_MODULES: dict[str, tuple[str, ...]] = {
    "tabletop": ("ocvp.data.tabletop.videos",),
    "obj3d": ("ocvp.data.obj3d.videos", "ocvp.data.obj3d.files"),
    "movi": ("ocvp.data.movi.videos", "ocvp.data.movi.files"),
    "folder": ("ocvp.data.folder.videos", "ocvp.data.folder.files"),
}
"""Kind of data set to the modules that `make_chunk` loads by need: the one that reads the videos,
first, and the one that lists their files."""


@functools.cache
def stage_digest(rule: str, kind: str | None = None) -> str:
    """Return the digest of all code that a rule runs (see `ocvp.records.digests.code_digest`).

    Args:
        rule: The rule.
        kind: Kind of the data set whose videos the rule makes. It counts for merging too: the
            chunks are deleted after it, so only the merged file can be found stale.
    """
    source = () if kind is None else SOURCE_MODULES[kind]
    return code_digest(*STAGES[rule], *source)

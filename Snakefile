"""Object-centric video prediction: from videos to slots, predictions and evidence.

The targets, in order: prepare_data, train_savi, evaluate_savi, extract_slots, train_predictor,
evaluate_predictor, probe_slots, figures, summarize, all (the default).
"""


report: "workflow/report/start.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/savi.smk"
include: "workflow/rules/slots.smk"
include: "workflow/rules/predictor.smk"
include: "workflow/rules/evaluation.smk"
include: "workflow/rules/probe.smk"
include: "workflow/rules/report.smk"


# Everything that the study asks for.
rule all:
    default_target: not HAS_DEFAULT
    input:
        # All of them: Snakemake does not rebuild a lost file that only finished jobs had read.
        rules.prepare_data.input,
        rules.train_savi.input,
        rules.evaluate_savi.input,
        rules.extract_slots.input,
        rules.train_predictor.input,
        rules.evaluate_predictor.input,
        JOBS.asked_probes,
        rules.figures.input,
        [page_path(CONFIG)] if SHOWN["savi"] else [],
        # As paths: a workflow that imports this one may have other rules for the first ones.
        expand(
            "{folder}/{table}.csv",
            folder=TABLE_FOLDERS[: 1 if IS_IMPORTED else None],
            table=["summary", "comparisons", "training_time"],
        ),


onsuccess:
    print("Tables and figures: python -m ocvp.show_results")

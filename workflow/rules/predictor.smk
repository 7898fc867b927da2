"""Slot predictors, trained on the cached slots of one SAVi.

Requires: results/{dataset}/{savi}/seed{seed}/savi.pt, its slots and the videos.
Makes: results/{dataset}/{savi}/seed{seed}/{predictor}/predictor.pt.
"""


rule train_predictor:
    """Collect the trained predictors of the study."""
    input:
        paths(CONFIG, "results/{dataset}/{savi}/seed{seed}/{predictor}/predictor.pt"),


rule fit_predictor:
    """Train one predictor. An interrupted run goes on from its resume folder."""
    input:
        origin=refusing(JOBS.origin_product),
        savi="results/{dataset}/{savi}/seed{seed}/savi.pt",
        train=[
            "results/{dataset}/videos/train.h5",
            "results/{dataset}/{savi}/seed{seed}/slots/train.h5",
        ],
        val=[
            "results/{dataset}/videos/val.h5",
            "results/{dataset}/{savi}/seed{seed}/slots/val.h5",
        ],
    output:
        checkpoint="results/{dataset}/{savi}/seed{seed}/{predictor}/predictor.pt",
    log:
        "logs/results/{dataset}/{savi}/seed{seed}/{predictor}/predictor.pt/fit_predictor.log",
    benchmark:
        "logs/results/{dataset}/{savi}/seed{seed}/{predictor}/predictor.pt/fit_predictor.tsv"
    wildcard_constraints:
        predictor=names_of(CONFIG.predictors, is_pretrained=False),
    priority: 1  # predictors are most of what follows SAVi, and nothing waits for figures
    conda:
        "../../envs/ocvp.yaml"
    threads: functools.partial(JOBS.training_threads, "fit_predictor")
    resources:
        mem_mb=resource_of("fit_predictor", "mem_mb"),
        runtime=resource_of("fit_predictor", "runtime"),
        gpu=resource_of("fit_predictor", "gpu"),
    params:
        config=stage_config("fit_predictor"),
        code=stage_code("fit_predictor"),
        origin=refusing(JOBS.origin_digest),
        options=uncounted(JOBS.origin_options),
        runtime=training_runtime,
        python=python,
    shell:
        r"""
        {params.python} -m ocvp.train_predictor \
            --config {params.config:q} --runtime {params.runtime:q} {params.options:q} \
            --savi {input.savi:q} --train {input.train:q} --val {input.val:q} \
            --seed {wildcards.seed:q} --output {output.checkpoint:q} --wait --log {log:q}
        """


rule import_predictor:
    """Take over a pretrained predictor, after checking that it fits the SAVi."""
    input:
        origin=refusing(JOBS.origin_product),
        savi="results/{dataset}/{savi}/seed{seed}/savi.pt",
    output:
        checkpoint="results/{dataset}/{savi}/seed{seed}/{predictor}/predictor.pt",
    log:
        "logs/results/{dataset}/{savi}/seed{seed}/{predictor}/predictor.pt/import_predictor.log",
    benchmark:
        "logs/results/{dataset}/{savi}/seed{seed}/{predictor}/predictor.pt/import_predictor.tsv"
    wildcard_constraints:
        predictor=names_of(CONFIG.predictors, is_pretrained=True),
    conda:
        "../../envs/ocvp.yaml"
    threads: resource_of("import_predictor", "threads")
    resources:
        mem_mb=resource_of("import_predictor", "mem_mb"),
        runtime=resource_of("import_predictor", "runtime"),
        gpu=resource_of("import_predictor", "gpu"),
    params:
        config=stage_config("import_predictor"),
        code=stage_code("import_predictor"),
        origin=refusing(JOBS.origin_digest),
        options=uncounted(JOBS.origin_options),
        python=python,
    shell:
        r"""
        {params.python} -m ocvp.import_checkpoint \
            --config {params.config:q} {params.options:q} --seed {wildcards.seed:q} \
            --savi {input.savi:q} --output {output.checkpoint:q} --log {log:q}
        """

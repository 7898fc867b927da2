"""Slot predictors, trained on the cached slots of one SAVi.

Requires: results/{dataset}/{savi}/seed{seed}/savi.pt, its slots and the videos.
Makes: results/{dataset}/{savi}/seed{seed}/{predictor}/predictor.pt.
"""


rule train_predictor:
    """Collect the trained predictors of the study."""
    input:
        chain_paths("results/{dataset}/{savi}/seed{seed}/{predictor}/predictor.pt"),


rule fit_predictor:
    """Train one predictor. An interrupted run goes on from its resume folder."""
    input:
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
    conda:
        "../../envs/ocvp.yaml"
    threads: training_threads("fit_predictor", "predictors")
    resources:
        mem_mb=resource_of("fit_predictor", "mem_mb"),
        runtime=resource_of("fit_predictor", "runtime"),
        gpu=resource_of("fit_predictor", "gpu"),
    params:
        config=stage_config("fit_predictor"),
        code=stage_digest("fit_predictor"),
        runtime=runtime,
    shell:
        r"""
        python -m ocvp.train_predictor \
            --config {params.config:q} --runtime {params.runtime:q} \
            --savi {input.savi:q} --train {input.train:q} --val {input.val:q} \
            --seed {wildcards.seed:q} --output {output.checkpoint:q} --log {log:q}
        """

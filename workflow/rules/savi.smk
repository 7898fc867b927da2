"""SAVi: decompose videos into slots.

Requires: results/{dataset}/videos/{split}.h5. Makes, in results/{dataset}/{savi}/seed{seed}:
savi.pt (beside it the best or last weights), evaluation.json.
"""


rule train_savi:
    """Collect the trained SAVi models of the study."""
    input:
        paths(CONFIG, "results/{dataset}/{savi}/seed{seed}/savi.pt"),


rule evaluate_savi:
    """Collect the scores of the SAVi models."""
    input:
        paths(CONFIG, "results/{dataset}/{savi}/seed{seed}/evaluation.json"),


rule fit_savi:
    """Train one SAVi. An interrupted run goes on from its resume folder, which is no output."""
    input:
        origin=refusing(JOBS.origin_product),
        train="results/{dataset}/videos/train.h5",
        val="results/{dataset}/videos/val.h5",
    output:
        checkpoint="results/{dataset}/{savi}/seed{seed}/savi.pt",
    log:
        "logs/results/{dataset}/{savi}/seed{seed}/savi.pt/fit_savi.log",
    benchmark:
        "logs/results/{dataset}/{savi}/seed{seed}/savi.pt/fit_savi.tsv"
    wildcard_constraints:
        savi=names_of(CONFIG.savi, is_pretrained=False),
    conda:
        "../../envs/ocvp.yaml"
    threads: functools.partial(JOBS.training_threads, "fit_savi")
    resources:
        mem_mb=resource_of("fit_savi", "mem_mb"),
        runtime=resource_of("fit_savi", "runtime"),
        gpu=resource_of("fit_savi", "gpu"),
    params:
        config=stage_config("fit_savi"),
        code=stage_code("fit_savi"),
        origin=refusing(JOBS.origin_digest),
        options=uncounted(JOBS.origin_options),
        runtime=training_runtime,
        python=python,
    shell:
        r"""
        {params.python} -m ocvp.train_savi \
            --config {params.config:q} --runtime {params.runtime:q} {params.options:q} \
            --train {input.train:q} --val {input.val:q} --seed {wildcards.seed:q} \
            --output {output.checkpoint:q} --wait --log {log:q}
        """


rule import_savi:
    """Take over a pretrained SAVi: a published checkpoint, or one made here."""
    input:
        origin=refusing(JOBS.origin_product),
    output:
        checkpoint="results/{dataset}/{savi}/seed{seed}/savi.pt",
    log:
        "logs/results/{dataset}/{savi}/seed{seed}/savi.pt/import_savi.log",
    benchmark:
        "logs/results/{dataset}/{savi}/seed{seed}/savi.pt/import_savi.tsv"
    wildcard_constraints:
        savi=names_of(CONFIG.savi, is_pretrained=True),
    conda:
        "../../envs/ocvp.yaml"
    threads: resource_of("import_savi", "threads")
    resources:
        mem_mb=resource_of("import_savi", "mem_mb"),
        runtime=resource_of("import_savi", "runtime"),
        gpu=resource_of("import_savi", "gpu"),
    params:
        config=stage_config("import_savi"),
        code=stage_code("import_savi"),
        origin=refusing(JOBS.origin_digest),
        options=uncounted(JOBS.origin_options),
        python=python,
    shell:
        r"""
        {params.python} -m ocvp.import_checkpoint \
            --config {params.config:q} {params.options:q} --seed {wildcards.seed:q} \
            --output {output.checkpoint:q} --log {log:q}
        """


rule score_savi:
    """Score one SAVi's decomposition, beside two naive segmenters."""
    input:
        savi="results/{dataset}/{savi}/seed{seed}/savi.pt",
        videos=JOBS.scored_videos,
    output:
        scores="results/{dataset}/{savi}/seed{seed}/evaluation.json",
    log:
        "logs/results/{dataset}/{savi}/seed{seed}/evaluation.json/score_savi.log",
    benchmark:
        "logs/results/{dataset}/{savi}/seed{seed}/evaluation.json/score_savi.tsv"
    conda:
        "../../envs/ocvp.yaml"
    threads: resource_of("score_savi", "threads")
    resources:
        mem_mb=resource_of("score_savi", "mem_mb"),
        runtime=resource_of("score_savi", "runtime"),
        gpu=resource_of("score_savi", "gpu"),
    params:
        config=stage_config("score_savi"),
        code=stage_code("score_savi"),
        runtime=runtime,
        python=python,
    shell:
        r"""
        {params.python} -m ocvp.evaluate_savi \
            --config {params.config:q} --runtime {params.runtime:q} \
            --savi {input.savi:q} --videos {input.videos:q} --seed {wildcards.seed:q} \
            --output {output.scores:q} --log {log:q}
        """

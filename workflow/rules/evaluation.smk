"""Scores of predictors, and the study's tables.

Requires: predictors, slots and videos. Makes: results/{dataset}/{savi}/seed{seed}/{predictor}/
evaluation/{protocol}.json; summary.csv, comparisons.csv and training_time.csv, in results/studies/
and the study's name, and as those of the last study in results/.
"""


rule evaluate_predictor:
    """Collect the scores of all predictors under all protocols."""
    input:
        paths(
            CONFIG,
            "results/{dataset}/{savi}/seed{seed}/{predictor}/evaluation/{protocol}.json",
        ),


rule score_predictor:
    """Score one predictor under one protocol."""
    input:
        savi="results/{dataset}/{savi}/seed{seed}/savi.pt",
        predictor="results/{dataset}/{savi}/seed{seed}/{predictor}/predictor.pt",
        videos=JOBS.protocol_videos,
        slots=JOBS.protocol_slots,
    output:
        scores="results/{dataset}/{savi}/seed{seed}/{predictor}/evaluation/{protocol}.json",
    log:
        "logs/results/{dataset}/{savi}/seed{seed}/{predictor}/evaluation/{protocol}.json/score_predictor.log",
    benchmark:
        "logs/results/{dataset}/{savi}/seed{seed}/{predictor}/evaluation/{protocol}.json/score_predictor.tsv"
    conda:
        "../../envs/ocvp.yaml"
    threads: resource_of("score_predictor", "threads")
    resources:
        mem_mb=resource_of("score_predictor", "mem_mb"),
        runtime=resource_of("score_predictor", "runtime"),
        gpu=resource_of("score_predictor", "gpu"),
    params:
        config=stage_config("score_predictor"),
        code=stage_code("score_predictor"),
        runtime=runtime,
        python=python,
    shell:
        r"""
        {params.python} -m ocvp.evaluate_predictor \
            --config {params.config:q} --runtime {params.runtime:q} \
            --savi {input.savi:q} --predictor {input.predictor:q} \
            --videos {input.videos:q} --slots {input.slots:q} \
            --output {output.scores:q} --log {log:q}
        """


rule summarize:
    """Gather all scores into tables; refuse those that do not belong to the study as it is."""
    input:
        scores=rules.evaluate_savi.input + rules.evaluate_predictor.input,
        probes=paths_of(ASKED_PROBES, "results/{dataset}/{savi}/seed{seed}/probe.json")
        + paths_of(
            ASKED_PROBES,
            "results/{dataset}/{savi}/seed{seed}/{predictor}/probe/{protocol}.json",
        ),
    output:
        summary=tables("summary"),
        comparisons=tables("comparisons"),
    log:
        "logs/results/summary.csv/summarize.log",
    benchmark:
        "logs/results/summary.csv/summarize.tsv"
    conda:
        "../../envs/ocvp.yaml"
    threads: resource_of("summarize", "threads")
    resources:
        mem_mb=resource_of("summarize", "mem_mb"),
        runtime=resource_of("summarize", "runtime"),
        gpu=resource_of("summarize", "gpu"),
    params:
        code=stage_code("summarize"),
        # Counts: the tables in results/ may be those of another study of the same models.
        name=CONFIG.name,
        study=study,
        python=python,
    shell:
        r"""
        {params.python} -m ocvp.summarize \
            --config {params.study:q} \
            --summary {output.summary:q} --comparisons {output.comparisons:q} --log {log:q}
        """


rule collect_training_time:
    """Gather what each training took, from its own records and the benchmark files."""
    input:
        checkpoints=trained_models(CONFIG),
    output:
        tables=tables("training_time"),
    log:
        "logs/results/training_time.csv/collect_training_time.log",
    benchmark:
        "logs/results/training_time.csv/collect_training_time.tsv"
    conda:
        "../../envs/ocvp.yaml"
    threads: resource_of("collect_training_time", "threads")
    resources:
        mem_mb=resource_of("collect_training_time", "mem_mb"),
        runtime=resource_of("collect_training_time", "runtime"),
        gpu=resource_of("collect_training_time", "gpu"),
    params:
        code=stage_code("collect_training_time"),
        name=CONFIG.name,
        study=study,
        python=python,
    shell:
        r"""
        {params.python} -m ocvp.collect_training_time \
            --config {params.study:q} --output {output.tables:q} --log {log:q}
        """

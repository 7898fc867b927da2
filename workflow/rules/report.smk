"""Figures, which the report shows too.

Requires: scores, models, slots and videos. Makes the page of rollouts in results/studies/{study},
and in results/{dataset}/{savi}/seed{seed}: figures/slots.png, figures/{protocol}_curves.png,
{predictor}/figures/{protocol}_video{video}.png and .gif.
"""

VIDEOS = range(num_rollouts(CONFIG, JOBS.num_videos))


rule figures:
    """Collect the figures of the study."""
    input:
        paths(CONFIG, "results/{dataset}/{savi}/seed{seed}/figures/slots.png"),
        paths(
            CONFIG, "results/{dataset}/{savi}/seed{seed}/figures/{protocol}_curves.png"
        ),
        paths(
            CONFIG,
            "results/{dataset}/{savi}/seed{seed}/{predictor}/figures/{protocol}_video{video}.png",
            VIDEOS,
        ),
        paths(
            CONFIG,
            "results/{dataset}/{savi}/seed{seed}/{predictor}/figures/{protocol}_video{video}.gif",
            VIDEOS,
        ),


rule draw_slots:
    """Draw what each slot of one SAVi holds."""
    input:
        savi="results/{dataset}/{savi}/seed{seed}/savi.pt",
        videos=JOBS.scored_videos,
    output:
        picture=report(
            "results/{dataset}/{savi}/seed{seed}/figures/slots.png",
            caption="../report/slots.rst",
            category="Decomposition",
            labels={"data set": "{dataset}", "SAVi": "{savi}", "seed": "{seed}"},
        ),
    log:
        "logs/results/{dataset}/{savi}/seed{seed}/figures/slots.png/draw_slots.log",
    benchmark:
        "logs/results/{dataset}/{savi}/seed{seed}/figures/slots.png/draw_slots.tsv"
    conda:
        "../../envs/ocvp.yaml"
    threads: resource_of("draw_slots", "threads")
    resources:
        mem_mb=resource_of("draw_slots", "mem_mb"),
        runtime=resource_of("draw_slots", "runtime"),
        gpu=resource_of("draw_slots", "gpu"),
    params:
        config=stage_config("draw_slots"),
        code=stage_code("draw_slots"),
        runtime=runtime,
        python=python,
    shell:
        r"""
        {params.python} -m ocvp.figures slots \
            --config {params.config:q} --runtime {params.runtime:q} \
            --savi {input.savi:q} --videos {input.videos:q} --seed {wildcards.seed:q} \
            --output {output.picture:q} --log {log:q}
        """


rule draw_rollouts:
    """Draw rollouts of the first videos: truth, prediction and masks."""
    input:
        savi="results/{dataset}/{savi}/seed{seed}/savi.pt",
        predictor="results/{dataset}/{savi}/seed{seed}/{predictor}/predictor.pt",
        scores="results/{dataset}/{savi}/seed{seed}/{predictor}/evaluation/{protocol}.json",
        videos=JOBS.protocol_videos,
        slots=JOBS.protocol_slots,
    output:
        pictures=report(
            expand(
                "results/{{dataset}}/{{savi}}/seed{{seed}}/{{predictor}}/figures/{{protocol}}_video{video}.png",
                video=VIDEOS,
            ),
            caption="../report/rollout.rst",
            category="Rollouts",
            subcategory="{protocol}",
            labels={"SAVi": "{savi}", "predictor": "{predictor}", "seed": "{seed}"},
        ),
        animations=expand(
            "results/{{dataset}}/{{savi}}/seed{{seed}}/{{predictor}}/figures/{{protocol}}_video{video}.gif",
            video=VIDEOS,
        ),
    log:
        "logs/results/{dataset}/{savi}/seed{seed}/{predictor}/figures/{protocol}_video0.png/draw_rollouts.log",
    benchmark:
        "logs/results/{dataset}/{savi}/seed{seed}/{predictor}/figures/{protocol}_video0.png/draw_rollouts.tsv"
    conda:
        "../../envs/ocvp.yaml"
    threads: resource_of("draw_rollouts", "threads")
    resources:
        mem_mb=resource_of("draw_rollouts", "mem_mb"),
        runtime=resource_of("draw_rollouts", "runtime"),
        gpu=resource_of("draw_rollouts", "gpu"),
    params:
        config=stage_config("draw_rollouts"),
        code=stage_code("draw_rollouts"),
        runtime=runtime,
        python=python,
    shell:
        r"""
        {params.python} -m ocvp.figures rollouts \
            --config {params.config:q} --runtime {params.runtime:q} \
            --savi {input.savi:q} --predictor {input.predictor:q} --scores {input.scores:q} \
            --videos {input.videos:q} --slots {input.slots:q} \
            --pictures {output.pictures:q} --animations {output.animations:q} --log {log:q}
        """


rule draw_curves:
    """Draw each metric over the predicted frames, for all predictors of a chain."""
    input:
        scores=JOBS.protocol_scores,
    output:
        picture=report(
            "results/{dataset}/{savi}/seed{seed}/figures/{protocol}_curves.png",
            caption="../report/curves.rst",
            category="Metrics over time",
            labels={"SAVi": "{savi}", "protocol": "{protocol}", "seed": "{seed}"},
        ),
    log:
        "logs/results/{dataset}/{savi}/seed{seed}/figures/{protocol}_curves.png/draw_curves.log",
    benchmark:
        "logs/results/{dataset}/{savi}/seed{seed}/figures/{protocol}_curves.png/draw_curves.tsv"
    conda:
        "../../envs/ocvp.yaml"
    threads: resource_of("draw_curves", "threads")
    resources:
        mem_mb=resource_of("draw_curves", "mem_mb"),
        runtime=resource_of("draw_curves", "runtime"),
        gpu=resource_of("draw_curves", "gpu"),
    params:
        config=stage_config("draw_curves"),
        code=stage_code("draw_curves"),
        python=python,
    shell:
        r"""
        {params.python} -m ocvp.figures curves \
            --config {params.config:q} \
            --scores {input.scores:q} --output {output.picture:q} --log {log:q}
        """


rule make_page:
    """Write the page of rollouts: truth and all predictors side by side, to play and explore."""
    input:
        savi=SHOWN["savi"],
        videos=SHOWN["videos"],
        slots=SHOWN["slots"],
        predictors=SHOWN["predictors"],
        scores=SHOWN["scores"],
    output:
        page=report(
            "results/studies/{study}/rollouts.html",
            caption="../report/page.rst",
            category="Rollouts",
            labels={"page": "all predictors, interactive"},
        ),
    log:
        "logs/results/studies/{study}/rollouts.html/make_page.log",
    benchmark:
        "logs/results/studies/{study}/rollouts.html/make_page.tsv"
    conda:
        "../../envs/ocvp.yaml"
    threads: resource_of("make_page", "threads")
    resources:
        mem_mb=resource_of("make_page", "mem_mb"),
        runtime=resource_of("make_page", "runtime"),
        gpu=resource_of("make_page", "gpu"),
    params:
        config=stage_config("make_page"),
        code=stage_code("make_page"),
        study=study,
        python=python,
    shell:
        r"""
        {params.python} -m ocvp.make_page \
            --config {params.study:q} --output {output.page:q} --log {log:q}
        """

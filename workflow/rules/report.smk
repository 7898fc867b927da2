"""Figures, which the report shows too.

Requires: scores, models, slots and videos. Makes the page of rollouts in results/studies/{study};
in results/{dataset}/{savi}/seed{seed} the pictures figures/slots and figures/{protocol}_curves, of
each video that is shown figures/{protocol}_{video} with all predictors, as a picture, GIF and MP4,
and figures/{protocol}_{video}_tracks, and in {predictor}/figures the same of one predictor; where
there are several seeds results/{dataset}/{savi}/figures/{protocol}_curves. Pictures end as the key
`figures.format` says.
"""


rule figures:
    """Collect the figures of the study."""
    input:
        paths(
            CONFIG, f"results/{{dataset}}/{{savi}}/seed{{seed}}/figures/slots{PICTURE}"
        ),
        paths(CONFIG, f"{OF_CHAIN}curves{PICTURE}"),
        paths_of(chains_over_seeds(CONFIG), f"{OF_SEEDS}curves{PICTURE}"),
        paths(
            CONFIG,
            f"{OF_CHAIN}{{video}}{{ending}}",
            video=VIDEOS,
            ending=[PICTURE, ".gif", ".mp4", f"_tracks{PICTURE}"],
        ),
        paths(
            CONFIG,
            f"{OF_PREDICTOR}{{video}}{{ending}}",
            video=VIDEOS,
            ending=[PICTURE, ".gif", ".mp4"],
        ),


rule draw_slots:
    """Draw what each slot of one SAVi holds."""
    input:
        savi="results/{dataset}/{savi}/seed{seed}/savi.pt",
        videos=JOBS.scored_videos,
    output:
        picture=report(
            f"results/{{dataset}}/{{savi}}/seed{{seed}}/figures/slots{PICTURE}",
            caption="../report/slots.rst",
            category="Decomposition",
            labels=CHAIN_LABELS,
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
            --title '{wildcards.dataset}, {wildcards.savi}, seed {wildcards.seed}: video 0' \
            --savi {input.savi:q} --videos {input.videos:q} --seed {wildcards.seed:q} \
            --output {output.picture:q} --log {log:q}
        """


rule draw_rollouts:
    """Draw rollouts of one predictor: truth, prediction, masks and errors."""
    input:
        savi="results/{dataset}/{savi}/seed{seed}/savi.pt",
        predictors="results/{dataset}/{savi}/seed{seed}/{predictor}/predictor.pt",
        scores="results/{dataset}/{savi}/seed{seed}/{predictor}/evaluation/{protocol}.json",
        videos=JOBS.protocol_videos,
        slots=JOBS.protocol_slots,
    output:
        pictures=of_videos(OF_PREDICTOR, PICTURE, "{predictor}"),
        animations=of_videos(OF_PREDICTOR, ".gif", "{predictor}"),
        films=expand(f"{OF_PREDICTOR}{{video}}.mp4", video=VIDEOS, allow_missing=True),
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
        shown=VIDEOS,
        python=python,
    shell:
        r"""
        {params.python} -m ocvp.figures rollouts \
            --config {params.config:q} --runtime {params.runtime:q} \
            --title '{wildcards.dataset}, {wildcards.savi}, seed {wildcards.seed}, {wildcards.protocol}' \
            --savi {input.savi:q} --predictors {input.predictors:q} --scores {input.scores:q} \
            --videos {input.videos:q} --slots {input.slots:q} --show {params.shown:q} \
            --pictures {output.pictures:q} --animations {output.animations:q} \
            --films {output.films:q} \
            --log {log:q}
        """


rule draw_comparisons:
    """Draw the rollouts of all predictors of a chain, one under another, and their tracks."""
    input:
        savi="results/{dataset}/{savi}/seed{seed}/savi.pt",
        predictors=JOBS.protocol_predictors,
        scores=JOBS.protocol_scores,
        videos=JOBS.protocol_videos,
        slots=JOBS.protocol_slots,
    output:
        pictures=of_videos(OF_CHAIN, PICTURE, "all"),
        tracks=of_videos(OF_CHAIN, f"_tracks{PICTURE}", "all"),
        animations=of_videos(OF_CHAIN, ".gif", "all"),
        films=expand(f"{OF_CHAIN}{{video}}.mp4", video=VIDEOS, allow_missing=True),
    log:
        "logs/results/{dataset}/{savi}/seed{seed}/figures/{protocol}_video0.png/draw_comparisons.log",
    benchmark:
        "logs/results/{dataset}/{savi}/seed{seed}/figures/{protocol}_video0.png/draw_comparisons.tsv"
    conda:
        "../../envs/ocvp.yaml"
    threads: resource_of("draw_comparisons", "threads")
    resources:
        mem_mb=resource_of("draw_comparisons", "mem_mb"),
        runtime=resource_of("draw_comparisons", "runtime"),
        gpu=resource_of("draw_comparisons", "gpu"),
    params:
        config=stage_config("draw_comparisons"),
        code=stage_code("draw_comparisons"),
        runtime=runtime,
        shown=VIDEOS,
        python=python,
    shell:
        r"""
        {params.python} -m ocvp.figures comparisons \
            --config {params.config:q} --runtime {params.runtime:q} \
            --title '{wildcards.dataset}, {wildcards.savi}, seed {wildcards.seed}, {wildcards.protocol}' \
            --savi {input.savi:q} --predictors {input.predictors:q} --scores {input.scores:q} \
            --videos {input.videos:q} --slots {input.slots:q} --show {params.shown:q} \
            --pictures {output.pictures:q} --animations {output.animations:q} \
            --films {output.films:q} \
            --tracks {output.tracks:q} \
            --log {log:q}
        """


rule draw_curves:
    """Draw each metric over the predicted frames, for all predictors of a chain."""
    input:
        scores=JOBS.protocol_scores,
    output:
        picture=report(
            f"{OF_CHAIN}curves{PICTURE}",
            caption="../report/curves.rst",
            category="Metrics over time",
            labels=PROTOCOL_LABELS,
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
        {params.python} -m ocvp.curves metrics \
            --config {params.config:q} \
            --title '{wildcards.dataset}, {wildcards.savi}, seed {wildcards.seed}, {wildcards.protocol}' \
            --scores {input.scores:q} --output {output.picture:q} --log {log:q}
        """


rule draw_seed_curves:
    """Draw each metric over the predicted frames, the mean over all seeds of a chain."""
    input:
        scores=JOBS.scores_over_seeds,
    output:
        picture=report(
            f"{OF_SEEDS}curves{PICTURE}",
            caption="../report/curves.rst",
            category="Metrics over time",
            labels=PROTOCOL_LABELS | {"seed": "all"},
        ),
    log:
        "logs/results/{dataset}/{savi}/figures/{protocol}_curves.png/draw_seed_curves.log",
    benchmark:
        "logs/results/{dataset}/{savi}/figures/{protocol}_curves.png/draw_seed_curves.tsv"
    conda:
        "../../envs/ocvp.yaml"
    threads: resource_of("draw_seed_curves", "threads")
    resources:
        mem_mb=resource_of("draw_seed_curves", "mem_mb"),
        runtime=resource_of("draw_seed_curves", "runtime"),
        gpu=resource_of("draw_seed_curves", "gpu"),
    params:
        config=stage_config("draw_seed_curves"),
        code=stage_code("draw_seed_curves"),
        python=python,
    shell:
        r"""
        {params.python} -m ocvp.curves seeds \
            --config {params.config:q} \
            --title '{wildcards.dataset}, {wildcards.savi}, {wildcards.protocol}' \
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
            subcategory="Interactive page",
            labels=dict.fromkeys(PROTOCOL_LABELS, "all")
            | {
                "predictor": "all",
                "video": "best, worst and between",
                "figure": "page",
            },
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

"""Probes: what slots tell of the objects that they hold. `all` has them where the study asks.

Requires: SAVis, predictors, slots, and videos with masks. Makes, in results/{dataset}/{savi}/
seed{seed}: probe.json, probe.tensors, {predictor}/probe/{protocol}.json,
figures/{protocol}_probe.png.
"""


rule probe_slots:
    """Collect the probes of the study: of what it asks for, else of all that can be probed."""
    input:
        JOBS.probes,


rule probe_savi:
    """Fit probes on the slots of one SAVi, and score them on videos that they have not seen."""
    input:
        savi="results/{dataset}/{savi}/seed{seed}/savi.pt",
        train_videos="results/{dataset}/videos/train.h5",
        train_slots="results/{dataset}/{savi}/seed{seed}/slots/train.h5",
        videos=JOBS.scored_videos,
        slots=JOBS.scored_slots,
    output:
        scores="results/{dataset}/{savi}/seed{seed}/probe.json",
        probes="results/{dataset}/{savi}/seed{seed}/probe.tensors",
    log:
        "logs/results/{dataset}/{savi}/seed{seed}/probe.json/probe_savi.log",
    benchmark:
        "logs/results/{dataset}/{savi}/seed{seed}/probe.json/probe_savi.tsv"
    conda:
        "../../envs/ocvp.yaml"
    threads: resource_of("probe_savi", "threads")
    resources:
        mem_mb=resource_of("probe_savi", "mem_mb"),
        runtime=resource_of("probe_savi", "runtime"),
        gpu=resource_of("probe_savi", "gpu"),
    params:
        config=stage_config("probe_savi"),
        code=stage_code("probe_savi"),
        runtime=runtime,
        python=python,
    shell:
        r"""
        {params.python} -m ocvp.probe_savi \
            --config {params.config:q} --runtime {params.runtime:q} --savi {input.savi:q} \
            --train-videos {input.train_videos:q} --train-slots {input.train_slots:q} \
            --videos {input.videos:q} --slots {input.slots:q} --seed {wildcards.seed:q} \
            --output {output.scores:q} --probes {output.probes:q} --log {log:q}
        """


rule probe_predictor:
    """Apply the probes of a SAVi to the slots that one predictor predicts."""
    input:
        savi="results/{dataset}/{savi}/seed{seed}/savi.pt",
        predictor="results/{dataset}/{savi}/seed{seed}/{predictor}/predictor.pt",
        probes="results/{dataset}/{savi}/seed{seed}/probe.tensors",
        videos=JOBS.protocol_videos,
        slots=JOBS.protocol_slots,
    output:
        scores="results/{dataset}/{savi}/seed{seed}/{predictor}/probe/{protocol}.json",
    log:
        "logs/results/{dataset}/{savi}/seed{seed}/{predictor}/probe/{protocol}.json/probe_predictor.log",
    benchmark:
        "logs/results/{dataset}/{savi}/seed{seed}/{predictor}/probe/{protocol}.json/probe_predictor.tsv"
    conda:
        "../../envs/ocvp.yaml"
    threads: resource_of("probe_predictor", "threads")
    resources:
        mem_mb=resource_of("probe_predictor", "mem_mb"),
        runtime=resource_of("probe_predictor", "runtime"),
        gpu=resource_of("probe_predictor", "gpu"),
    params:
        config=stage_config("probe_predictor"),
        code=stage_code("probe_predictor"),
        runtime=runtime,
        python=python,
    shell:
        r"""
        {params.python} -m ocvp.probe_predictor \
            --config {params.config:q} --runtime {params.runtime:q} \
            --savi {input.savi:q} --predictor {input.predictor:q} --probes {input.probes:q} \
            --videos {input.videos:q} --slots {input.slots:q} \
            --output {output.scores:q} --log {log:q}
        """


rule draw_probes:
    """Draw what the slots of all predictors of a chain tell, over the predicted frames."""
    input:
        scores=JOBS.protocol_probes,
    output:
        picture=report(
            f"results/{{dataset}}/{{savi}}/seed{{seed}}/figures/{{protocol}}_probe{PICTURE}",
            caption="../report/probe.rst",
            category="Probes over time",
            labels={
                "data set": "{dataset}",
                "SAVi": "{savi}",
                "seed": "{seed}",
                "protocol": "{protocol}",
            },
        ),
    log:
        "logs/results/{dataset}/{savi}/seed{seed}/figures/{protocol}_probe.png/draw_probes.log",
    benchmark:
        "logs/results/{dataset}/{savi}/seed{seed}/figures/{protocol}_probe.png/draw_probes.tsv"
    conda:
        "../../envs/ocvp.yaml"
    threads: resource_of("draw_probes", "threads")
    resources:
        mem_mb=resource_of("draw_probes", "mem_mb"),
        runtime=resource_of("draw_probes", "runtime"),
        gpu=resource_of("draw_probes", "gpu"),
    params:
        config=stage_config("draw_probes"),
        code=stage_code("draw_probes"),
        python=python,
    shell:
        r"""
        {params.python} -m ocvp.curves probes \
            --config {params.config:q} \
            --title '{wildcards.dataset}, {wildcards.savi}, seed {wildcards.seed}, {wildcards.protocol}' \
            --scores {input.scores:q} --output {output.picture:q} --log {log:q}
        """

"""Slots: what a SAVi sees in every frame, kept on disk so that it is computed once.

Requires: results/{dataset}/{savi}/seed{seed}/savi.pt and the videos.
Makes: results/{dataset}/{savi}/seed{seed}/slots/{split}.h5.
"""


rule extract_slots:
    """Collect the slots of the study."""
    input:
        sorted(
            f"results/{chain.dataset}/{chain.savi}/seed{chain.seed}/slots/{split}.h5"
            for chain in CHAINS
            for split in slot_splits(CONFIG, chain)
        ),


rule encode_chunk:
    """Encode some of a large split's videos; chunks run side by side."""
    input:
        savi="results/{dataset}/{savi}/seed{seed}/savi.pt",
        videos="results/{dataset}/videos/{split}.h5",
    output:
        slots=temp("results/{dataset}/{savi}/seed{seed}/slots/{split}/chunk{chunk}.h5"),
    log:
        "logs/results/{dataset}/{savi}/seed{seed}/slots/{split}/chunk{chunk}.h5/encode_chunk.log",
    benchmark:
        "logs/results/{dataset}/{savi}/seed{seed}/slots/{split}/chunk{chunk}.h5/encode_chunk.tsv"
    conda:
        "../../envs/ocvp.yaml"
    threads: resource_of("encode_chunk", "threads")
    resources:
        mem_mb=resource_of("encode_chunk", "mem_mb"),
        runtime=resource_of("encode_chunk", "runtime"),
        gpu=resource_of("encode_chunk", "gpu"),
    params:
        config=stage_config("encode_chunk"),
        code=stage_code("encode_chunk"),
        size=JOBS.videos_per_slot_chunk,
        runtime=runtime,
        python=python,
    shell:
        r"""
        {params.python} -m ocvp.extract_slots \
            --config {params.config:q} --runtime {params.runtime:q} \
            --savi {input.savi:q} --videos {input.videos:q} --seed {wildcards.seed:q} \
            --chunk {wildcards.chunk:q} --videos-per-chunk {params.size:q} \
            --output {output.slots:q} --log {log:q}
        """


rule encode_slots:
    """Encode one split with one SAVi, without decoding; of a large split, join the chunks."""
    input:
        savi="results/{dataset}/{savi}/seed{seed}/savi.pt",
        videos="results/{dataset}/videos/{split}.h5",
        chunks=refusing(JOBS.slot_chunks),
    output:
        slots="results/{dataset}/{savi}/seed{seed}/slots/{split}.h5",
    log:
        "logs/results/{dataset}/{savi}/seed{seed}/slots/{split}.h5/encode_slots.log",
    benchmark:
        "logs/results/{dataset}/{savi}/seed{seed}/slots/{split}.h5/encode_slots.tsv"
    priority: 1  # predictors are most of what follows SAVi, and nothing waits for figures
    conda:
        "../../envs/ocvp.yaml"
    threads: resource_of("encode_slots", "threads")
    resources:
        mem_mb=resource_of("encode_slots", "mem_mb"),
        runtime=resource_of("encode_slots", "runtime"),
        gpu=JOBS.extraction_gpus,
    params:
        config=stage_config("encode_slots"),
        code=stage_code("encode_slots"),
        chunks=slot_chunk_options,
        runtime=runtime,
        python=python,
    shell:
        r"""
        {params.python} -m ocvp.extract_slots \
            --config {params.config:q} --runtime {params.runtime:q} \
            --savi {input.savi:q} --videos {input.videos:q} --seed {wildcards.seed:q} \
            {params.chunks:q} --output {output.slots:q} --log {log:q}
        """

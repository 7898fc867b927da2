"""Videos of each data set.

Requires: the raw files that the config names (tabletop is simulated, and needs none).
Makes: results/{dataset}/videos/{split}.h5.
"""


rule prepare_data:
    """Collect the videos of all data sets of the study."""
    input:
        sorted(
            f"results/{chain.dataset}/videos/{split}.h5"
            for chain in CHAINS
            for split in video_splits(CONFIG, chain)
        ),


rule make_chunk:
    """Make some of a split's videos; chunks run side by side."""
    output:
        temp("results/{dataset}/videos/{split}/chunk{chunk}.h5"),
    log:
        "logs/results/{dataset}/videos/{split}/chunk{chunk}.h5/make_chunk.log",
    benchmark:
        "logs/results/{dataset}/videos/{split}/chunk{chunk}.h5/make_chunk.tsv"
    conda:
        "../../envs/ocvp.yaml"
    threads: resource_of("make_chunk", "threads")
    resources:
        mem_mb=resource_of("make_chunk", "mem_mb"),
        runtime=resource_of("make_chunk", "runtime"),
        gpu=resource_of("make_chunk", "gpu"),
    params:
        config=stage_config("make_chunk"),
        code=stage_code("make_chunk"),
        raw=refusing(JOBS.chunk_digest),
        root=uncounted(JOBS.raw_root),
        python=python,
    shell:
        r"""
        {params.python} -m ocvp.prepare_data chunk \
            --config {params.config:q} --root {params.root:q} \
            --dataset {wildcards.dataset:q} --split {wildcards.split:q} \
            --chunk {wildcards.chunk:q} --output {output:q} --log {log:q}
        """


rule make_videos:
    """Join the chunks of a split; the file does not depend on how it was cut."""
    input:
        chunks=refusing(JOBS.video_chunks),
    output:
        videos="results/{dataset}/videos/{split}.h5",
    log:
        "logs/results/{dataset}/videos/{split}.h5/make_videos.log",
    benchmark:
        "logs/results/{dataset}/videos/{split}.h5/make_videos.tsv"
    conda:
        "../../envs/ocvp.yaml"
    threads: resource_of("make_videos", "threads")
    resources:
        mem_mb=resource_of("make_videos", "mem_mb"),
        runtime=resource_of("make_videos", "runtime"),
        gpu=resource_of("make_videos", "gpu"),
    params:
        config=stage_config("make_videos"),
        code=stage_code("make_videos"),
        raw=refusing(JOBS.raw_digest),
        root=uncounted(JOBS.raw_root),
        python=python,
    shell:
        r"""
        {params.python} -m ocvp.prepare_data merge \
            --config {params.config:q} --root {params.root:q} \
            --dataset {wildcards.dataset:q} --split {wildcards.split:q} \
            --chunks {input.chunks:q} --output {output.videos:q} --log {log:q}
        """

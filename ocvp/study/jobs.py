"""What the rules ask of a job, from its wildcards: paths of what it reads, digests, options.

Snakemake calls most of this while it builds its graph of jobs, so nothing heavy is imported.
"""

import functools
import os
import sys
from pathlib import Path
from typing import Any, cast

from ocvp.config.entries import ModelEntry
from ocvp.config.parts import entry_of
from ocvp.config.section import Split
from ocvp.config.tree import Config
from ocvp.data.chunks import num_chunks
from ocvp.data.raw_files import Listing
from ocvp.records import origins
from ocvp.records.rules import RULES, resource, stage_config, stage_digest
from ocvp.study.chains import chains, paths, paths_of, probed_chains, unprobed
from ocvp.study.products import raw_listing


class Jobs:
    """The jobs of one study. Methods take the wildcards of a job, as attributes.

    Args:
        config: The whole config.
    """

    def __init__(self, config: Config):
        self._config = config
        self._chains = {chain[:3]: chain for chain in chains(config)}
        self.listing = functools.cache(self._listing)  # files are listed once for all jobs

    # --- what makes a job stale -------------------------------------------------------------------

    def config_part(self, rule: str, wildcards: Any) -> str:
        """Return the part of the config that a job's product depends on."""
        return stage_config(self._config, rule, dict(wildcards.items()))

    def code(self, rule: str, wildcards: Any) -> str:
        """Return the digest of the code that a job runs."""
        makes_videos = rule in ("make_chunk", "make_videos")
        kind = self._config.datasets[wildcards.dataset].kind if makes_videos else None
        return stage_digest(rule, kind)

    # --- videos -----------------------------------------------------------------------------------

    def _listing(self, dataset: str, split: str) -> Listing:
        """Return what a split is converted from; without its raw files, what they once were.

        Raises:
            ValueError: If there are neither raw files nor a record of them, or unexpected ones.
        """
        folder = Path(f"results/{dataset}/videos")
        try:
            found = raw_listing(self._config, dataset, cast(Split, split))
        except ValueError as error:
            raise ValueError(f"datasets.{dataset}: {error}") from None
        if found.digest and not found.videos:
            text = f"The raw files of {folder / split}.h5 are gone; it is used as it is."
            print(text, file=sys.stderr)
        return found

    def num_videos(self, dataset: str, split: str) -> int:
        """Return how many videos a split has.

        Raises:
            ValueError: As for `listing`, which is asked once for all.
        """
        return self.listing(dataset, split).num_videos

    def raw_digest(self, wildcards: Any) -> str:
        """Return the digest of names and sizes of a split's raw files."""
        return self.listing(wildcards.dataset, wildcards.split).digest

    def chunk_digest(self, wildcards: Any) -> str:
        """Return the digest of names and sizes of the raw files of one chunk."""
        size = self._config.datasets[wildcards.dataset].videos_per_chunk
        start = int(wildcards.chunk) * size
        return self.listing(wildcards.dataset, wildcards.split).part_digest(start, start + size)

    def raw_root(self, wildcards: Any) -> str:
        """Return the folder of the raw files."""
        return getattr(self._config.datasets[wildcards.dataset], "root", ".")

    def video_chunks(self, wildcards: Any) -> list[str]:
        """Return the chunks of a split's videos, in order."""
        size = self._config.datasets[wildcards.dataset].videos_per_chunk
        return self._chunks(f"results/{wildcards.dataset}/videos", wildcards, size)

    # --- slots ------------------------------------------------------------------------------------

    def videos_per_slot_chunk(self, wildcards: Any) -> int:
        """Return how many videos one job encodes."""
        return self._config.savi[wildcards.savi].extraction.videos_per_chunk

    def slot_chunks(self, wildcards: Any) -> list[str]:
        """Return the chunks of a split that is too large for one job to encode, in order."""
        size = self.videos_per_slot_chunk(wildcards)
        chunks = self._chunks(f"{_chain_folder(wildcards)}/slots", wildcards, size)
        return chunks if len(chunks) > 1 else []

    def _chunks(self, folder: str, wildcards: Any, size: int) -> list[str]:
        num_videos = self.listing(wildcards.dataset, wildcards.split).num_videos
        return [
            f"{folder}/{wildcards.split}/chunk{chunk}.h5"
            for chunk in range(num_chunks(num_videos, size))
        ]

    # --- what models are made of ------------------------------------------------------------------

    def entry(self, wildcards: Any) -> ModelEntry:
        """Return the predictor's entry of a job that has one, else the SAVi's."""
        return entry_of(self._config, dict(wildcards.items()))

    def origin_product(self, wildcards: Any) -> list[str]:
        """Return the checkpoint that a model is made of, where this study makes it itself.

        Raises:
            ValueError: If the model would be made of its own product.
        """
        entry = self.entry(wildcards)
        path = entry.pretrained or entry.start_from
        if not path:
            return []
        path = os.path.relpath(path)
        if Path(path).parent == self._model_folder(wildcards):
            raise ValueError(
                f"{path} lies where the model that is made of it is written to; copy it elsewhere"
            )
        return [path] if path in self._models else []

    def origin_digest(self, wildcards: Any) -> str:
        """Return the digest of the checkpoint that a model is imported or starts from.

        Raises:
            ValueError: If it is missing, and nothing says what it was.
        """
        if self.origin_product(wildcards):
            return ""  # an input, which Snakemake follows
        return origins.origin_digest(self.entry(wildcards), self._model_folder(wildcards))

    def origin_options(self, wildcards: Any) -> list[str]:
        """Return the options that name this checkpoint."""
        entry = self.entry(wildcards)
        if entry.pretrained and entry.pretrained_params:
            return ["--checkpoint", entry.pretrained, "--params", entry.pretrained_params]
        weights = entry.pretrained or entry.start_from
        return ["--checkpoint", weights] if weights else []

    @functools.cached_property
    def _models(self) -> set[str]:
        """The paths of all models that the study makes."""
        patterns = (RULES[rule].product for rule in ("fit_savi", "fit_predictor"))
        return {path for pattern in patterns for path in paths(self._config, f"results/{pattern}")}

    def _model_folder(self, wildcards: Any) -> Path:
        """Return the folder of a job's model, of its predictor or else of its SAVi."""
        return Path(_chain_folder(wildcards)) / getattr(wildcards, "predictor", "")

    # --- what is scored ---------------------------------------------------------------------------

    def scored_videos(self, wildcards: Any) -> str:
        """Return the videos that a SAVi is scored on."""
        split = self._config.savi[wildcards.savi].evaluation.split
        return f"results/{wildcards.dataset}/videos/{split}.h5"

    def protocol_videos(self, wildcards: Any) -> str:
        """Return the videos that a protocol scores on."""
        split = self._config.evaluation[wildcards.protocol].split
        return f"results/{wildcards.dataset}/videos/{split}.h5"

    def protocol_slots(self, wildcards: Any) -> str:
        """Return the slots that a protocol scores on."""
        split = self._config.evaluation[wildcards.protocol].split
        return f"{_chain_folder(wildcards)}/slots/{split}.h5"

    def protocol_scores(self, wildcards: Any) -> list[str]:
        """Return the scores of a chain's predictors under one protocol."""
        return self._of_predictors("evaluation/{protocol}.json", wildcards)

    def protocol_predictors(self, wildcards: Any) -> list[str]:
        """Return the checkpoints of these predictors, in the same order."""
        return self._of_predictors("predictor.pt", wildcards)

    def scores_over_seeds(self, wildcards: Any) -> list[str]:
        """Return the scores of the predictors on one SAVi under one protocol, of all seeds."""
        return [
            f"results/{dataset}/{savi}/seed{seed}/{predictor}/evaluation/{protocol}.json"
            for (dataset, savi, seed), chain in self._chains.items()
            if (dataset, savi) == (wildcards.dataset, wildcards.savi)
            for predictor, protocol in chain.scored
            if protocol == wildcards.protocol
        ]

    def _of_predictors(self, file: str, wildcards: Any) -> list[str]:
        chain = self._chains[wildcards.dataset, wildcards.savi, int(wildcards.seed)]
        return [
            f"{_chain_folder(wildcards)}/{predictor}/{file.format(protocol=protocol)}"
            for predictor, protocol in chain.scored
            if protocol == wildcards.protocol
        ]

    # --- what is probed ---------------------------------------------------------------------------

    def scored_slots(self, wildcards: Any) -> str:
        """Return the slots of the videos that a SAVi is scored on."""
        split = self._config.savi[wildcards.savi].evaluation.split
        return f"{_chain_folder(wildcards)}/slots/{split}.h5"

    def protocol_probes(self, wildcards: Any) -> list[str]:
        """Return the probes of a chain's predictors under one protocol."""
        return self._of_predictors("probe/{protocol}.json", wildcards)

    def probes(self, wildcards: Any) -> list[str]:
        """Return all that the stage `probe_slots` makes; it says of what it makes nothing."""
        return self._probes

    def asked_probes(self, wildcards: Any) -> list[str]:
        """Return the same where the study asks for probes, else nothing."""
        return self._probes if any(chain.probed for chain in self._chains.values()) else []

    @functools.cached_property
    def _probes(self) -> list[str]:
        for line in unprobed(self._config):
            print(line, file=sys.stderr)
        found = probed_chains(self._config)
        rules = ("probe_savi", "probe_predictor", "draw_probes")
        patterns = (f"results/{RULES[rule].product}" for rule in rules)
        formats = [self._config.figures.format]
        return [path for p in patterns for path in paths_of(found, p, format=formats)]

    # --- resources --------------------------------------------------------------------------------

    def training_threads(self, rule: str, wildcards: Any) -> int:
        """Return the threads of all processes of a training, or the override of `resources`."""
        num_gpus = resource(self._config, rule, "gpu") or 0
        num_processes = self._config.runtime.processes or max(num_gpus, 1)
        entry: Any = self.entry(wildcards)  # of a SAVi or a predictor that is trained
        own = resource(self._config, rule, "threads")
        return own or num_processes * int(entry.training.num_threads)

    def extraction_gpus(self, wildcards: Any) -> int:
        """Return the GPUs that encode a split; chunks are joined without any."""
        if self.slot_chunks(wildcards):
            return 0
        return resource(self._config, "encode_slots", "gpu") or 0


def _chain_folder(wildcards: Any) -> str:
    return f"results/{wildcards.dataset}/{wildcards.savi}/seed{wildcards.seed}"

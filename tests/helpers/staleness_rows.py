"""What each edit makes stale, written by hand: a row for every key and every module.

Each row names an edit and the rules whose jobs a dry run must list, of the study in
tests/helpers/staleness.yaml. A key of the config or a module of `ocvp` without a row fails a test.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

# --- rules, by what they follow -----------------------------------------------------------------

TABLES = {"summarize"}
TIMES = {"collect_training_time"}
OF_ALL = TABLES | TIMES
PAGE = {"make_page"}
OF_CHAIN = {"draw_comparisons", "draw_curves", "draw_seed_curves"}
ROLLOUTS = {"draw_rollouts", "draw_comparisons"}
FROM_VIDEO_FILES = {"draw_slots"} | ROLLOUTS
CURVES = {"draw_curves", "draw_seed_curves", "draw_probes"}
FIGURES = FROM_VIDEO_FILES | CURVES
FROM_SAVI_SCORES = {"score_savi"} | TABLES
PREDICTED = {"score_predictor", "draw_rollouts"} | OF_CHAIN | TABLES | PAGE
READ_OF_PREDICTED = {"probe_predictor", "draw_probes"} | TABLES
FROM_PROBES = {"probe_savi"} | READ_OF_PREDICTED
FROM_PREDICTOR_SCORES = PREDICTED | READ_OF_PREDICTED
FROM_PREDICTORS = {"fit_predictor"} | FROM_PREDICTOR_SCORES | TIMES
FROM_SLOTS = {"encode_chunk", "encode_slots"} | FROM_PROBES | FROM_PREDICTORS
FROM_SAVI = {"fit_savi", "draw_slots"} | FROM_SAVI_SCORES | FROM_SLOTS
FROM_VIDEOS = {"make_chunk", "make_videos"} | FROM_SAVI
IMPORTS = {"import_savi", "import_predictor"}
FROM_MODELS = FROM_SAVI | IMPORTS
FROM_IMPORTS = FROM_MODELS - {"fit_savi", "fit_predictor"} - TIMES
EVERYTHING = FROM_VIDEOS | IMPORTS
NOTHING: set[str] = set()

# --- jobs, by what their first product's path holds ---------------------------------------------

ALL = ""
FIRST = "results/first/"
SMALL = "/small/"
LSTM = "/lstm/|/(small|other)/seed1/figures/[a-z]+_(curves|probe|video)"
OCVP = "/ocvp/|/small/seed1/figures/[a-z]+_(curves|probe|video)"
SHORT = "/short"
TABLETOP = "results/(first|second)/"
OBJ3D, MOVI, OWN = "results/obj3d/", "results/movi/", "results/own/"
TRAINED = "^(?!.*/fetched/)"
FETCHED = "/fetched/"
NARROWED = "/(small|other)/"
SMALL_ON_FIRST = "results/first/small/"
PREDICTOR_ON_TUNED = """\
fit_predictor second/tuned/seed1/{0}/predictor.pt
score_predictor second/tuned/seed1/{0}/evaluation/short.json
draw_rollouts second/tuned/seed1/{0}/figures/short_video0.png"""


class Edit(NamedTuple):
    """An edit of the config, and what it makes stale."""

    key: str
    """The key to set, from the top of the config; a number is a position in a list."""
    value: Any
    rules: set[str]
    """Rules whose jobs are stale."""
    within: str = ALL
    """Regular expression: of these rules, only jobs whose first product matches (and summarize)."""
    also: Mapping[str, Any] = MappingProxyType({})
    """Keys that must change with it for the config to be valid."""
    added: frozenset[tuple[str, str]] = frozenset()
    """Jobs that the study did not have before; they are stale besides the others."""


def jobs(*lines: str) -> frozenset[tuple[str, str]]:
    """Return jobs from lines `RULE FIRST_PRODUCT`, the product without `results/`."""
    return frozenset((rule, f"results/{product}") for rule, product in map(str.split, lines))


def set_key(tree: Any, key: str, value: Any) -> None:
    """Set a key of nested mappings and lists, and make the mappings that it needs."""
    *path, last = (int(part) if part.isdigit() else part for part in key.split("."))
    for part in path:
        tree = tree[part] if isinstance(part, int) else tree.setdefault(part, {})
    tree[last] = value


# --- keys of the config, as SECTION.KEY ---------------------------------------------------------


def dataset(key: str, value: Any, **more: Any) -> Edit:
    """Everything that is made from a data set follows from each of its keys."""
    return Edit(f"datasets.first.{key}", value, FROM_VIDEOS, FIRST, **more)


def raw(name: str, key: str, value: Any, **more: Any) -> Edit:
    """Everything that is made from a data set on disk follows from its keys."""
    return Edit(f"datasets.{name}.{key}", value, FROM_VIDEOS, f"results/{name}/", **more)


def fetched(key: str, value: Any, **more: Any) -> Edit:
    """A pretrained SAVi and everything after it."""
    return Edit(f"savi.fetched.{key}", value, FROM_IMPORTS, FETCHED, **more)


def savi(key: str, value: Any, **more: Any) -> Edit:
    """A SAVi's training and everything after it."""
    return Edit(f"savi.small.{key}", value, FROM_SAVI, SMALL, **more)


def ocvp(key: str, value: Any, **more: Any) -> Edit:
    """One predictor's training and everything after it."""
    return Edit(f"predictors.ocvp.{key}", value, FROM_PREDICTORS, OCVP, **more)


def nothing(key: str, value: Any) -> Edit:
    """A key that says where or how fast to run."""
    return Edit(key, value, NOTHING)


TABLETOPS = ("first", "second")
RAW = ("obj3d", "movi", "own")
UNDOUBLED = {
    "savi.small.model.downsample_decoder": False,
    "savi.small.model.decoder_resolution": [16, 16],
}
NARROW = {
    "savi.small.model.slot_dim": 8,
    "savi.other.model.slot_dim": 8,
    "predictors.lstm.model.hidden_dim": 8,
}
DOUBLE_SIZE = {
    **{f"datasets.{name}.resolution": [32, 32] for name in (*TABLETOPS, *RAW)},
    **{f"savi.{name}.model.decoder_resolution": [16, 16] for name in ("small", "other", "tuned")},
}

KEYS: dict[str, Edit] = {
    "TabletopDataset.seed": dataset("seed", 5),
    "TabletopDataset.resolution": Edit(
        "datasets.first.resolution", [32, 32], FROM_VIDEOS, also=DOUBLE_SIZE
    ),
    "TabletopDataset.num_frames": dataset("num_frames", 9),
    "TabletopDataset.fps": dataset("fps", 12),
    "TabletopDataset.num_objects": dataset("num_objects", [1, 3]),
    "TabletopDataset.fields": dataset("fields", ["flow"]),
    "TabletopDataset.videos_per_chunk": dataset("videos_per_chunk", 5),
    "MaxVideos.train": raw("obj3d", "max_videos.train", 2),
    "MaxVideos.val": raw("obj3d", "max_videos.val", 2),
    "MaxVideos.test": raw("obj3d", "max_videos.test", 2),
    "Obj3dDataset.resolution": Edit(
        "datasets.obj3d.resolution", [32, 32], FROM_VIDEOS, also=DOUBLE_SIZE
    ),
    "Obj3dDataset.stride": raw("obj3d", "stride", 2),
    "Obj3dDataset.videos_per_chunk": raw("obj3d", "videos_per_chunk", 3),
    "Obj3dDataset.root": nothing("datasets.obj3d.root", "raw/elsewhere/OBJ3D"),
    "Obj3dDataset.num_frames": raw("obj3d", "num_frames", 9),
    "Obj3dDataset.resize": raw("obj3d", "resize", "hamming"),
    "MoviDataset.resolution": Edit(
        "datasets.movi.resolution", [32, 32], FROM_VIDEOS, also=DOUBLE_SIZE
    ),
    "MoviDataset.stride": raw("movi", "stride", 2),
    "MoviDataset.videos_per_chunk": raw("movi", "videos_per_chunk", 60),
    "MoviDataset.root": nothing("datasets.movi.root", "raw/elsewhere/tfds"),
    "MoviDataset.num_frames": raw("movi", "num_frames", 9),
    "MoviDataset.resize": raw("movi", "resize", "hamming"),
    "FolderDataset.resolution": Edit(
        "datasets.own.resolution", [32, 32], FROM_VIDEOS, also=DOUBLE_SIZE
    ),
    "FolderDataset.stride": raw("own", "stride", 2),
    "FolderDataset.videos_per_chunk": raw("own", "videos_per_chunk", 3),
    "FolderDataset.root": nothing("datasets.own.root", "raw/elsewhere/own"),
    "FolderDataset.num_frames": raw("own", "num_frames", 9),
    "FolderDataset.resize": raw("own", "resize", "hamming"),
    "MoviDataset.variant": raw("movi", "variant", "movi_b"),
    "MoviDataset.source_resolution": raw("movi", "source_resolution", 256),
    "MoviDataset.splits": raw("movi", "splits", "published"),
    "MoviDataset.max_objects": raw("movi", "max_objects", 3),
    "MoviDataset.fields": raw("movi", "fields", ["flow"]),
    "FolderDataset.frames": raw("own", "frames", "other_videos"),
    "FolderDataset.pattern": raw("own", "pattern", "0*"),
    "FolderDataset.fps": raw(
        "own",
        "fps",
        5,
        also={
            "datasets.own.frames": "films",  # pictures have no times
            "datasets.own.masks": None,  # and masks belong to a film's own frames
            "datasets.own.max_objects": 0,
        },
    ),
    "FolderDataset.masks": raw("own", "masks", "other_masks"),
    "FolderDataset.start": raw("own", "start", 1),
    "FolderDataset.fit": raw("own", "fit", "stretch"),
    "FolderDataset.max_objects": raw("own", "max_objects", 2),
    "FolderDataset.mirror": raw("own", "mirror", True),
    "SplitShares.train": raw("own", "shares.train", 0.25, also={"datasets.own.shares.test": 0.5}),
    "SplitShares.val": raw("own", "shares.val", 0.5, also={"datasets.own.shares.train": 0.25}),
    "SplitShares.test": raw("own", "shares.test", 0.5, also={"datasets.own.shares.train": 0.25}),
    "NumVideos.train": dataset("num_videos.train", 7),
    "NumVideos.val": dataset("num_videos.val", 2),
    "NumVideos.test": dataset("num_videos.test", 4),
    "SaviModel.num_slots": savi("model.num_slots", 5),
    "SaviModel.slot_dim": Edit("savi.small.model.slot_dim", 8, FROM_SAVI, NARROWED, also=NARROW),
    "SaviModel.encoder_channels": savi("model.encoder_channels", [4, 8]),
    "SaviModel.encoder_mlp_dim": savi("model.encoder_mlp_dim", 16),
    "SaviModel.kernel_size": savi("model.kernel_size", 3),
    "SaviModel.downsample_encoder": savi("model.downsample_encoder", True),
    "SaviModel.downsampled_convolutions": savi("model.downsampled_convolutions", 1),
    "SaviModel.prune_threshold": savi("model.prune_threshold", 0.5),
    "SaviModel.decoder_channels": savi("model.decoder_channels", [8, 4]),
    "SaviModel.decoder_resolution": savi("model.decoder_resolution", [16, 16], also=UNDOUBLED),
    "SaviModel.downsample_decoder": savi("model.downsample_decoder", False, also=UNDOUBLED),
    "SaviModel.slot_mlp_dim": savi("model.slot_mlp_dim", 64),
    "SaviModel.num_iterations_first": savi("model.num_iterations_first", 3),
    "SaviModel.num_iterations": savi("model.num_iterations", 3),
    "SaviModel.transition": savi("model.transition", False),
    "SaviModel.initializer": savi("model.initializer", "random"),
    "SaviModel.box_format": savi("model.box_format", "published_pixels"),
    "SaviModel.absent": savi("model.absent", "published"),
    "SaviTraining.num_steps": savi("training.num_steps", 7),
    "SaviTraining.num_epochs": savi(
        "training.num_epochs", 3, also={"savi.small.training.num_steps": None}
    ),
    "SaviTraining.batch_size": savi("training.batch_size", 2),
    "SaviTraining.attention_gradient": savi("training.attention_gradient", "last"),
    "SaviTraining.learning_rate": savi("training.learning_rate", 2e-4),
    "SaviTraining.warmup_steps": savi("training.warmup_steps", 3),
    "SaviTraining.warmup_epochs": savi("training.warmup_epochs", 1),
    "SaviTraining.schedule": savi("training.schedule", "constant"),
    "SaviTraining.scheduler_steps": savi("training.scheduler_steps", 5),
    "SaviTraining.gradient_clip": savi("training.gradient_clip", 1.0),
    "SaviTraining.weight_decay": savi("training.weight_decay", 0.1),
    "SaviTraining.validation_interval": savi("training.validation_interval", 2),
    "SaviTraining.select": savi("training.select", "best"),
    "SaviTraining.num_threads": savi("training.num_threads", 1),
    "SaviTraining.precision": savi("training.precision", "bfloat16"),
    "SaviTraining.tf32": savi("training.tf32", False),
    "SaviTraining.recoveries": savi("training.recoveries", 1),
    "SaviTraining.recovery_factor": savi("training.recovery_factor", 0.1),
    "SaviTraining.num_frames": savi("training.num_frames", 7),
    "SaviTraining.clip_length": savi("training.clip_length", 4),
    "SaviTraining.curriculum_epochs": savi("training.curriculum_epochs", 1),
    "SaviTraining.curriculum_clip_length": savi("training.curriculum_clip_length", 1),
    "SaviTraining.background_weight": savi("training.background_weight", 0.01),
    "SaviTraining.shared_objects_weight": savi("training.shared_objects_weight", 0.01),
    "SaviTraining.shared_from": savi("training.shared_from", 0.5),
    "Targets.flow": Edit("savi.other.training.target.flow", 0.5, FROM_SAVI, "/other/"),
    "Targets.depth": Edit("savi.other.training.target.depth", 0.5, FROM_SAVI, "/other/"),
    "Targets.difference": savi("training.target.difference", 0.5),
    "SaviEntry.pretrained": fetched("pretrained", "raw/published/models/other.pth"),
    "SaviEntry.pretrained_params": fetched("pretrained_params", "raw/other_params.json"),
    "SaviEntry.start_from": Edit(
        "savi.tuned.start_from", "raw/mine/other.pt", FROM_SAVI, "/tuned/"
    ),
    "LstmEntry.pretrained": Edit(
        "predictors.imported.pretrained",
        "raw/mine/other.pt",
        FROM_PREDICTOR_SCORES | {"import_predictor"},
        "/imported/|/fetched/seed1/figures/[a-z]+_(curves|video)",
    ),
    "LstmEntry.pretrained_params": Edit(
        "predictors.imported.pretrained_params",
        "raw/other_params.json",
        FROM_PREDICTOR_SCORES | {"import_predictor"},
        "/imported/|/fetched/seed1/figures/[a-z]+_(curves|video)",
        also={"predictors.imported.pretrained": "raw/published/models/checkpoint.pth"},
    ),
    "LstmEntry.start_from": Edit(
        "predictors.lstm.start_from", "raw/mine/predictor.pt", FROM_PREDICTORS, LSTM
    ),
    "TransformerEntry.pretrained": Edit(
        "predictors.ocvp.pretrained",
        "raw/mine/predictor.pt",
        FROM_PREDICTOR_SCORES | TIMES,
        OCVP,
        added=jobs("import_predictor first/small/seed1/ocvp/predictor.pt"),
    ),
    "TransformerEntry.pretrained_params": Edit(
        "predictors.ocvp.pretrained_params",
        "raw/other_params.json",
        FROM_PREDICTOR_SCORES | TIMES,
        OCVP,
        also={"predictors.ocvp.pretrained": "raw/published/models/checkpoint.pth"},
        added=jobs("import_predictor first/small/seed1/ocvp/predictor.pt"),
    ),
    "TransformerEntry.start_from": ocvp("start_from", "raw/mine/predictor.pt"),
    "SaviEntry.grid": Edit(
        "savi.other.grid",
        {"num_iterations": [3]},
        OF_ALL | PAGE,
        "^results/first/other/",
        also={"study.1.predictors": [], "study.1.evaluation": []},
        added=jobs(
            "fit_savi first/other-num_iterations3/seed1/savi.pt",
            "score_savi first/other-num_iterations3/seed1/evaluation.json",
            "encode_chunk first/other-num_iterations3/seed1/slots/train/chunk0.h5",
            "encode_chunk first/other-num_iterations3/seed1/slots/train/chunk1.h5",
            "encode_slots first/other-num_iterations3/seed1/slots/train.h5",
            "encode_slots first/other-num_iterations3/seed1/slots/val.h5",
            "draw_slots first/other-num_iterations3/seed1/figures/slots.png",
        ),
    ),
    "LstmEntry.grid": Edit(
        "predictors.swept.grid",
        {"num_cells": [1, 2, 3]},
        OF_ALL | PAGE | OF_CHAIN,
        "/tuned/",
        added=jobs(*PREDICTOR_ON_TUNED.format("swept-num_cells3").splitlines()),
    ),
    "TransformerEntry.grid": Edit(
        "predictors.ocvp.grid",
        {"dropout": [0.1]},
        OF_ALL | PAGE | OF_CHAIN | {"draw_probes"},
        SMALL_ON_FIRST,
        added=jobs(
            *(
                line.format("first/small/seed1/ocvp-dropout0.1")
                for line in (
                    "fit_predictor {}/predictor.pt",
                    "score_predictor {}/evaluation/short.json",
                    "score_predictor {}/evaluation/validation.json",
                    "probe_predictor {}/probe/short.json",
                    "probe_predictor {}/probe/validation.json",
                    "draw_rollouts {}/figures/short_video0.png",
                    "draw_rollouts {}/figures/validation_video0.png",
                )
            )
        ),
    ),
    "Extraction.videos_per_chunk": Edit(
        "savi.other.extraction.videos_per_chunk",
        2,
        FROM_SLOTS,
        "/other/",
        added=jobs(
            "encode_chunk first/other/seed1/slots/train/chunk2.h5",
            "encode_chunk first/other/seed1/slots/val/chunk0.h5",
            "encode_chunk first/other/seed1/slots/val/chunk1.h5",
            "encode_chunk first/other/seed1/slots/test/chunk0.h5",
            "encode_chunk first/other/seed1/slots/test/chunk1.h5",
        ),
    ),
    "SaviEvaluation.split": Edit(
        "savi.small.evaluation.split",
        "val",
        FROM_SAVI_SCORES | FROM_PROBES | {"draw_slots"},
        SMALL,
    ),
    "SaviEvaluation.num_frames": Edit(
        "savi.small.evaluation.num_frames", 4, FROM_SAVI_SCORES | FROM_PROBES, SMALL
    ),
    "LstmModel.hidden_dim": Edit(
        "predictors.lstm.model.hidden_dim", 8, FROM_SAVI, NARROWED, also=NARROW
    ),
    "LstmModel.num_cells": Edit("predictors.lstm.model.num_cells", 3, FROM_PREDICTORS, LSTM),
    "LstmModel.residual": Edit("predictors.lstm.model.residual", False, FROM_PREDICTORS, LSTM),
    "TransformerEntry.kind": ocvp("kind", "ocvp_seq"),
    "TransformerModel.token_dim": ocvp("model.token_dim", 64),
    "TransformerModel.hidden_dim": ocvp("model.hidden_dim", 64),
    "TransformerModel.num_layers": ocvp("model.num_layers", 2),
    "TransformerModel.num_heads": ocvp("model.num_heads", 2),
    "TransformerModel.residual": ocvp("model.residual", False),
    "TransformerModel.buffer_size": ocvp("model.buffer_size", 4),
    "TransformerModel.dropout": ocvp("model.dropout", 0.2),
    "PredictorTraining.num_steps": ocvp("training.num_steps", 5),
    "PredictorTraining.num_epochs": ocvp(
        "training.num_epochs", 3, also={"predictors.ocvp.training.num_steps": None}
    ),
    "PredictorTraining.batch_size": ocvp("training.batch_size", 2),
    "PredictorTraining.learning_rate": ocvp("training.learning_rate", 2e-4),
    "PredictorTraining.warmup_steps": ocvp("training.warmup_steps", 3),
    "PredictorTraining.warmup_epochs": ocvp("training.warmup_epochs", 1),
    "PredictorTraining.schedule": ocvp("training.schedule", "constant"),
    "PredictorTraining.scheduler_steps": ocvp("training.scheduler_steps", 5),
    "PredictorTraining.gradient_clip": ocvp("training.gradient_clip", 1.0),
    "PredictorTraining.weight_decay": ocvp("training.weight_decay", 0.1),
    "PredictorTraining.validation_interval": ocvp("training.validation_interval", 2),
    "PredictorTraining.select": ocvp("training.select", "best"),
    "PredictorTraining.num_threads": ocvp("training.num_threads", 1),
    "PredictorTraining.precision": ocvp("training.precision", "bfloat16"),
    "PredictorTraining.tf32": ocvp("training.tf32", False),
    "PredictorTraining.recoveries": ocvp("training.recoveries", 1),
    "PredictorTraining.recovery_factor": ocvp("training.recovery_factor", 0.1),
    "PredictorTraining.num_frames": ocvp("training.num_frames", 7),
    "PredictorTraining.num_context": ocvp("training.num_context", 2),
    "PredictorTraining.num_preds": ocvp("training.num_preds", 3),
    "PredictorTraining.frame_loss_weight": ocvp("training.frame_loss_weight", 0.5),
    "PredictorTraining.slot_loss_weight": ocvp("training.slot_loss_weight", 0.5),
    "PredictorTraining.teacher_forcing": ocvp("training.teacher_forcing", True),
    "Protocol.num_context": Edit("evaluation.short.num_context", 2, FROM_PREDICTOR_SCORES, SHORT),
    "Protocol.num_preds": Edit("evaluation.short.num_preds", 3, FROM_PREDICTOR_SCORES, SHORT),
    "Protocol.split": Edit(
        "evaluation.short.split",
        "val",
        FROM_PREDICTOR_SCORES,
        SHORT,
        added=jobs("encode_slots second/fetched/seed1/slots/val.h5"),
    ),
    "Protocol.moving_pixels": Edit(
        "evaluation.short.moving_pixels", 2, FROM_PREDICTOR_SCORES, SHORT
    ),
    "Protocol.cut_context": Edit(
        "evaluation.short.cut_context", True, FROM_PREDICTOR_SCORES, SHORT
    ),
    "Figures.num_videos": Edit("figures.num_videos", 3, FIGURES),
    "Figures.format": Edit("figures.format", "svg", FIGURES),
    "Figures.upscale": Edit("figures.upscale", 2, FIGURES),
    "Figures.gif_fps": Edit("figures.gif_fps", 3, FIGURES),
    "Page.num_videos": Edit("page.num_videos", 12, PAGE),
    "Runtime.device": nothing("runtime.device", "cpu"),
    "Runtime.processes": nothing("runtime.processes", 2),
    "Runtime.accumulation_steps": nothing("runtime.accumulation_steps", 2),
    "Runtime.residency": nothing("runtime.residency", "disk"),
    "Runtime.num_workers": nothing("runtime.num_workers", 2),
    "Runtime.batch_videos": nothing("runtime.batch_videos", 4),
    "Runtime.compile": nothing("runtime.compile", True),
    "Runtime.fused_adam": nothing("runtime.fused_adam", False),
    "Runtime.extend": nothing("runtime.extend", True),
    "Runtime.save_interval_minutes": nothing("runtime.save_interval_minutes", 1),
    "RuleResources.threads": nothing("resources.fit_savi.threads", 1),
    "RuleResources.mem_mb": nothing("resources.fit_savi.mem_mb", 5000),
    "RuleResources.runtime": nothing("resources.fit_savi.runtime", 30),
    "RuleResources.gpu": nothing("resources.fit_savi.gpu", 1),
    "RuleResources.max_mem_mb": nothing("resources.every_rule.max_mem_mb", 9000),
    "RuleResources.max_runtime": nothing("resources.every_rule.max_runtime", 60),
    "Config.name": Edit(
        "name", "other", OF_ALL, added=jobs("make_page studies/other/rollouts.html")
    ),
    "Study.datasets": Edit(
        "study.2.datasets",
        ["second", "unused"],
        OF_ALL,
        added=jobs(
            "make_chunk unused/videos/train/chunk0.h5",
            "make_chunk unused/videos/train/chunk1.h5",
            "make_chunk unused/videos/val/chunk0.h5",
            "make_chunk unused/videos/test/chunk0.h5",
            "make_videos unused/videos/train.h5",
            "make_videos unused/videos/val.h5",
            "make_videos unused/videos/test.h5",
            "fit_savi unused/small/seed1/savi.pt",
            "score_savi unused/small/seed1/evaluation.json",
            "encode_slots unused/small/seed1/slots/train.h5",
            "encode_slots unused/small/seed1/slots/val.h5",
            "draw_slots unused/small/seed1/figures/slots.png",
        ),
    ),
    "Study.savi": Edit(
        "study.2.savi",
        ["small", "other"],
        OF_ALL,
        added=jobs(
            "fit_savi second/other/seed1/savi.pt",
            "score_savi second/other/seed1/evaluation.json",
            "encode_chunk second/other/seed1/slots/train/chunk0.h5",
            "encode_chunk second/other/seed1/slots/train/chunk1.h5",
            "encode_slots second/other/seed1/slots/train.h5",
            "encode_slots second/other/seed1/slots/val.h5",
            "draw_slots second/other/seed1/figures/slots.png",
        ),
    ),
    "Study.predictors": Edit(
        "study.1.predictors",
        ["lstm", "ocvp"],
        OF_ALL | PAGE | OF_CHAIN,
        "/other/",
        added=jobs(
            "fit_predictor first/other/seed1/ocvp/predictor.pt",
            "score_predictor first/other/seed1/ocvp/evaluation/short.json",
            "draw_rollouts first/other/seed1/ocvp/figures/short_video0.png",
        ),
    ),
    "Study.evaluation": Edit(
        "study.1.evaluation",
        ["short", "validation"],
        TABLES | PAGE,
        added=jobs(
            "score_predictor first/other/seed1/lstm/evaluation/validation.json",
            "draw_rollouts first/other/seed1/lstm/figures/validation_video0.png",
            "draw_comparisons first/other/seed1/figures/validation_video0.png",
            "draw_curves first/other/seed1/figures/validation_curves.png",
        ),
    ),
    "Study.seeds": Edit(
        "study.2.seeds",
        [1, 2],
        OF_ALL,
        added=jobs(
            "fit_savi second/small/seed2/savi.pt",
            "score_savi second/small/seed2/evaluation.json",
            "encode_slots second/small/seed2/slots/train.h5",
            "encode_slots second/small/seed2/slots/val.h5",
            "draw_slots second/small/seed2/figures/slots.png",
        ),
    ),
    "Study.probe": Edit(
        "study.1.probe",
        True,
        TABLES,
        added=jobs(
            "probe_savi first/other/seed1/probe.json",
            "probe_predictor first/other/seed1/lstm/probe/short.json",
            "draw_probes first/other/seed1/figures/short_probe.png",
        ),
    ),
}

# --- edits that say more than a key by itself ---------------------------------------------------

OTHER_EDITS: dict[str, Edit] = {
    "learning rate of the other predictor": Edit(
        "predictors.lstm.training.learning_rate", 2e-4, FROM_PREDICTORS, LSTM
    ),
    "learning rate of the other SAVi": Edit(
        "savi.other.training.learning_rate", 2e-4, FROM_SAVI, "/other/"
    ),
    "seed of the other data set": Edit("datasets.second.seed", 5, FROM_VIDEOS, "results/second/"),
    "the other protocol": Edit(
        "evaluation.validation.num_preds", 4, FROM_PREDICTOR_SCORES, "/validation"
    ),
    "two widths of a SAVi swapped": savi(
        "model.encoder_mlp_dim", 32, also={"savi.small.model.slot_mlp_dim": 8}
    ),
    "two lengths of a protocol swapped": Edit(
        "evaluation.validation.num_context",
        3,
        FROM_PREDICTOR_SCORES,
        "/validation",
        also={"evaluation.validation.num_preds": 2},
    ),
    "two losses of a predictor, swapped and equal": Edit(
        "predictors.ocvp.training.frame_loss_weight",
        1.0,
        NOTHING,
        also={"predictors.ocvp.training.slot_loss_weight": 1.0},
    ),
    "a default, written out": Edit("savi.small.training.learning_rate", 1e-4, NOTHING),
    "a number, written as YAML 1.1 does not read it": Edit(
        "savi.small.training.learning_rate", "1e-4", NOTHING
    ),
    "a data set that the study does not name": Edit("datasets.unused.seed", 5, NOTHING),
    "a predictor that the study does not name": Edit(
        "predictors.another",
        {"kind": "lstm", "training": {"num_context": 3, "num_preds": 2, "num_steps": 4}},
        NOTHING,
    ),
    "the order of a study's names": Edit("study.0.predictors", ["ocvp", "lstm"], NOTHING),
    "a moved pretrained checkpoint": Edit(
        "savi.fetched.pretrained", "raw/elsewhere/models/checkpoint.pth", NOTHING
    ),
    "a moved pretrained predictor": Edit(
        "predictors.imported.pretrained", "raw/elsewhere/predictor.pt", NOTHING
    ),
    "a setting that a pretrained SAVi must have": fetched("model", {"num_slots": 4}),
    "one predictor less": Edit(
        "study.0.predictors", ["lstm"], OF_ALL | PAGE | OF_CHAIN | {"draw_probes"}, SMALL
    ),
    "probes that are no longer asked for": Edit("study.0.probe", False, TABLES),
    "one seed more": Edit(
        "study.5.seeds",
        [1, 2],
        OF_ALL | PAGE,
        added=jobs(
            "fit_savi second/tuned/seed2/savi.pt",
            "score_savi second/tuned/seed2/evaluation.json",
            "encode_slots second/tuned/seed2/slots/test.h5",
            "encode_slots second/tuned/seed2/slots/train.h5",
            "encode_slots second/tuned/seed2/slots/val.h5",
            "draw_slots second/tuned/seed2/figures/slots.png",
            "draw_comparisons second/tuned/seed2/figures/short_video0.png",
            "draw_curves second/tuned/seed2/figures/short_curves.png",
            "draw_seed_curves second/tuned/figures/short_curves.png",
            *PREDICTOR_ON_TUNED.replace("seed1", "seed2").format("swept-num_cells1").splitlines(),
            *PREDICTOR_ON_TUNED.replace("seed1", "seed2").format("swept-num_cells2").splitlines(),
        ),
    ),
    "a key of an entry with a grid": Edit(
        "predictors.swept.training.learning_rate",
        2e-4,
        FROM_PREDICTORS,
        "/swept-|/tuned/seed1/figures/[a-z]+_(curves|video)",
    ),
    "one value of a grid less": Edit(
        "predictors.swept.grid.num_cells", [2], OF_ALL | PAGE | OF_CHAIN, "/tuned/"
    ),
    "one variant of a grid by its name": Edit(
        "study.5.predictors", ["swept-num_cells2"], OF_ALL | PAGE | OF_CHAIN, "/tuned/"
    ),
    "the values of a grid in another order": Edit(
        "predictors.swept.grid.num_cells", [2, 1], NOTHING
    ),
    "a name of the job in a pretrained path": Edit(
        "predictors.imported.pretrained", "raw/mine/{dataset}/predictor.pt", NOTHING
    ),
    "slots of small splits in chunks of another size": Edit(
        "savi.small.extraction.videos_per_chunk", 500, NOTHING
    ),
    "resources of every rule": nothing("resources.every_rule.mem_mb", 9000),
}

# --- modules of the package ---------------------------------------------------------------------

SCORES = FROM_SAVI_SCORES | PREDICTED

Rows = tuple[tuple[set[str], str], ...]


def of(*rows: set[str] | tuple[set[str], str]) -> Rows:
    """Return what an edit makes stale: rules, or rules and which of their products."""
    return tuple(row if isinstance(row, tuple) else (row, ALL) for row in rows)


# What each wing's modules make stale; `ocvp` stands for the programs and the package itself.
WINGS: dict[str, Rows] = {
    "compute": of(FROM_SAVI),
    "data": of(FROM_VIDEOS),
    "data.tabletop": of((FROM_VIDEOS, TABLETOP)),
    "data.obj3d": of((FROM_VIDEOS, OBJ3D)),
    "data.movi": of((FROM_VIDEOS, MOVI)),
    "data.folder": of((FROM_VIDEOS, OWN)),
    "models": of(FROM_MODELS),
    "batches": of(FROM_SAVI),
    "evaluation": of(SCORES | {"draw_slots"}),  # the figures' one program shows scores
    "pictures": of(FIGURES | PAGE),
    "training": of((FROM_SAVI, TRAINED)),
    "published": of((FROM_IMPORTS, FETCHED)),
    # Not part of any stage: the config is in the params; where a product is made, and what is said
    # of it; tools.
    "config": of(NOTHING),
    "records": of(NOTHING),
    "runtime": of(NOTHING),
    "study": of(NOTHING),
    "ocvp": of(NOTHING),
}

# Modules that differ from their wing.
MODULES: dict[str, Rows] = {
    "__init__": of(EVERYTHING),
    "compute.memory": of((FROM_SAVI, TRAINED)),
    "compute.process_group": of((FROM_SAVI, TRAINED)),
    "compute.randomness": of((FROM_VIDEOS, TABLETOP), FROM_SAVI),
    "batches.own_clips": of(NOTHING),
    "data.clips": of(NOTHING),
    "data.films": of((FROM_VIDEOS, OWN)),
    "data.folder.look": of(NOTHING),
    "data.prediction_files": of(NOTHING),
    "data.frame_files": of((FROM_VIDEOS, f"{OBJ3D}|{OWN}")),
    "data.mask_boxes": of((FROM_VIDEOS, f"{TABLETOP}|{OWN}")),
    "data.picture_series": of((FROM_VIDEOS, OWN)),
    "data.resizing": of((FROM_VIDEOS, f"{OBJ3D}|{OWN}|{MOVI}")),
    "data.slot_files": of(FROM_SLOTS | {"draw_slots"}),  # the figures' one program imports it
    "models.predictors": of(FROM_PREDICTORS | {"import_predictor"}),
    "models.rollout": of(FROM_PREDICTORS | {"draw_slots"}),  # the figures' one program imports it
    "batches.residency": of((FROM_SAVI, TRAINED)),
    "evaluation.baselines": of(FROM_PREDICTOR_SCORES),
    "evaluation.best": of(TABLES),
    "evaluation.result_tables": of(NOTHING),
    "evaluation.table_formats": of(NOTHING),
    "evaluation.intervals": of(PREDICTED | FROM_PROBES),
    "evaluation.comparisons": of(PREDICTED),
    "evaluation.tracked_objects": of(PREDICTED),
    "evaluation.metrics": of(SCORES | FROM_PROBES | FIGURES),
    "evaluation.object_labels": of(FROM_PROBES),
    "evaluation.object_slots": of(FROM_PROBES),
    "evaluation.probe_scores": of(FROM_PROBES),
    "evaluation.probes": of(FROM_PROBES),
    "evaluation.savi_probes": of(FROM_PROBES),
    "evaluation.predictor_probes": of(READ_OF_PREDICTED),
    "evaluation.protocols": of(FROM_PREDICTOR_SCORES),
    "evaluation.savi_scores": of(FROM_SAVI_SCORES),
    "evaluation.predictor_scores": of(PREDICTED),
    "evaluation.naive_segmenters": of(FROM_SAVI_SCORES),
    "evaluation.ranking": of(FROM_VIDEO_FILES | PAGE),
    "evaluation.score_files": of(TABLES | FIGURES | PAGE),
    "evaluation.segmentation_metrics": of(SCORES | FROM_PROBES | FIGURES),
    "evaluation.tables": of(TABLES),
    "evaluation.tracking_metrics": of(PREDICTED | FROM_PROBES | FIGURES),
    # No SAVi is trained, scored or drawn again.
    "training.predictor_task": of((FROM_PREDICTORS, TRAINED)),
    "training.binding": of(NOTHING),  # it only speaks
    "training.clip_scores": of(NOTHING),  # curves that are looked at
    "training.speed": of(NOTHING),
    "published.conversion": of(NOTHING),
    "published.text": of(NOTHING),
    "prepare_data": of(FROM_VIDEOS),
    "import_checkpoint": of((FROM_IMPORTS, FETCHED)),
    "train_savi": of((FROM_SAVI, TRAINED)),
    "evaluate_savi": of(FROM_SAVI_SCORES),
    "extract_slots": of(FROM_SLOTS),
    "train_predictor": of((FROM_PREDICTORS, TRAINED)),
    "evaluate_predictor": of(PREDICTED),
    "probe_savi": of(FROM_PROBES),
    "probe_predictor": of(READ_OF_PREDICTED),
    "pictures.animation": of(FROM_VIDEO_FILES),
    "pictures.cards": of(NOTHING),  # pictures for TensorBoard
    "pictures.compared": of(FROM_VIDEO_FILES | PAGE),
    "pictures.decoded": of(FROM_VIDEO_FILES | PAGE),
    "pictures.drawing": of(FROM_VIDEO_FILES),
    "pictures.of_models": of(FROM_VIDEO_FILES),
    "pictures.overlays": of(FROM_VIDEO_FILES | PAGE),
    "pictures.prediction": of(NOTHING),
    "pictures.rollout_page": of(PAGE),
    "pictures.rollouts": of(FROM_VIDEO_FILES),
    "pictures.saving": of(FIGURES),
    "pictures.sheets": of(PAGE),
    "pictures.strips": of(FROM_VIDEO_FILES),
    "curves": of(CURVES),
    "figures": of(FROM_VIDEO_FILES),
    "make_page": of(PAGE),
    "summarize": of(TABLES),
    "collect_training_time": of(TIMES),
}


def wing_of(module: str) -> str:
    """Return the wing of a module: the folder that it lies in."""
    return module.rpartition(".")[0] or "ocvp"


def rows_of(module: str) -> Rows:
    """Return what an edit of a module makes stale."""
    return MODULES.get(module) or WINGS[wing_of(module)]


# What is made again after a rule that was.
FOLLOWING: dict[str, set[str]] = {
    "make_chunk": FROM_VIDEOS,
    "make_videos": FROM_VIDEOS,
    "fit_savi": FROM_SAVI,
    "import_savi": FROM_IMPORTS,
    "score_savi": FROM_SAVI_SCORES,
    "encode_chunk": FROM_SLOTS,
    "encode_slots": FROM_SLOTS,
    "fit_predictor": FROM_PREDICTORS,
    "import_predictor": FROM_PREDICTOR_SCORES | {"import_predictor"},
    "score_predictor": PREDICTED,
    "probe_savi": FROM_PROBES,
    "probe_predictor": READ_OF_PREDICTED,
    "draw_slots": {"draw_slots"},
    "draw_rollouts": {"draw_rollouts"},
    "draw_comparisons": {"draw_comparisons"},
    "draw_seed_curves": {"draw_seed_curves"},
    "draw_curves": {"draw_curves"},
    "draw_probes": {"draw_probes"},
    "make_page": PAGE,
    "summarize": TABLES,
    "collect_training_time": TIMES,
}

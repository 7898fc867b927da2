"""Write models/: SAVi and OCVP-Seq of the finished demo, and a film of its test split.

`make shipped` does that. The film is the one in the middle of all by mIoU, neither the best nor the
worst. What models/README.md says is in trained_pair.md beside this program.
"""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any

from PIL import Image

from ocvp.data.videos import VideoFile
from ocvp.evaluation.metrics import METRICS
from ocvp.evaluation.ranking import rank_videos
from ocvp.evaluation.score_files import read_predictor_scores
from ocvp.evaluation.table_formats import Table, as_markdown
from ocvp.models.loading import check_belongs, open_predictor, open_savi
from ocvp.records.records import find_record
from ocvp.runtime.files import atomic_path, write_json, write_text
from ocvp.runtime.program import program_parser, run

WORDS = Path(__file__).with_suffix(".md")
CHAIN = Path("tabletop/savi/seed0")
PREDICTOR, PROTOCOL = "ocvp_seq", "long"
SCORES = {"psnr": 2, "ssim": 3, "fg_ari_clip": 3, "miou": 3, "centre_error": 2}
"""Metrics that are told, with their decimals."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program (see the module's description)."""
    parser = program_parser(__doc__)
    parser.add_argument(
        "results", type=Path, nargs="?", default=Path("results"), help="folder (default: results)"
    )
    models = Path("models")
    parser.add_argument("--output", type=Path, default=models, help=f"folder (default: {models})")
    args = parser.parse_args(argv)
    # --- what is read, and that it belongs together
    chain = args.results / CHAIN
    checkpoints = {
        "savi.pt": open_savi(chain / "savi.pt"),
        "predictor.pt": open_predictor(chain / PREDICTOR / "predictor.pt"),
    }
    savi, predictor = checkpoints.values()
    check_belongs(predictor, savi)
    records = {name: record_of(opened.path) for name, opened in checkpoints.items()}
    path = chain / PREDICTOR / "evaluation" / f"{PROTOCOL}.json"
    scores = read_predictor_scores(path)
    if scores["digests"]["predictor"] != predictor.digest:
        raise ValueError(f"{path} holds the scores of another model than {predictor.path}")
    ranked = rank_videos([scores]).videos
    stated = scores_of(scores, video=ranked[len(ranked) // 2])
    # --- what is written
    args.output.mkdir(parents=True, exist_ok=True)
    for name, opened in checkpoints.items():
        with atomic_path(args.output / name) as temporary:
            shutil.copyfile(opened.path, temporary)
        record = args.output / name.replace(".pt", ".provenance.json")
        write_json(record, records[name])
    write_film(args.results / CHAIN.parts[0] / "videos/test.h5", stated["video"], args.output)
    write_json(args.output / "scores.json", stated)
    write_text(args.output / "README.md", words_of(stated, records["predictor.pt"]["made_by"]))
    return 0


def record_of(checkpoint: Path) -> dict[str, Any]:
    """Return the record of a model without the machine's name and folders.

    Raises:
        ValueError: If it is missing or damaged.
    """
    record = find_record(checkpoint)
    if record is None:
        raise ValueError(f"nothing says what made {checkpoint}: its provenance.json is missing")
    content = {key: value for key, value in record.content.items() if key != "host"}
    inputs = [entry | {"path": Path(entry["path"]).name} for entry in content["inputs"]]
    products = {checkpoint.name: content["products"][checkpoint.name]}
    return content | {"inputs": inputs, "products": products}


def scores_of(scores: dict[str, Any], video: int) -> dict[str, Any]:
    """Return what the pair scores on one video, and on all, from its file of scores."""
    return {
        "video": video,
        "num_videos": scores["num_videos"],
        "num_context": scores["protocol"]["num_context"],
        "num_preds": scores["protocol"]["num_preds"],
        "film": {name: scores["per_video"][name][video] for name in SCORES},
        "all": {name: scores["metrics"][name]["mean"] for name in SCORES},
    }


def write_film(videos: Path, video: int, output: Path) -> None:
    """Write frames and masks as pictures."""
    with VideoFile(videos) as file:
        pictures = {"film": file.read("frames", video), "masks": file.read("masks", video)}
    for name, series in pictures.items():
        folder = output / name
        folder.mkdir(exist_ok=True)
        for former in folder.glob("*.png"):
            former.unlink()
        for number, picture in enumerate(series):
            Image.fromarray(picture).save(folder / f"{number:02}.png", optimize=True)


def words_of(stated: dict[str, Any], made_by: dict[str, Any]) -> str:
    """Return the text of models/README.md."""
    rows = [
        ["this film", *_formatted(stated["film"])],
        [f"all {stated['num_videos']} test videos", *_formatted(stated["all"])],
    ]
    headings = [f"{name} {METRICS[name].arrow}" for name in SCORES]
    title = f"{stated['num_preds']} frames predicted after {stated['num_context']}"
    return Template(WORDS.read_text(encoding="utf-8")).substitute(
        stated,
        table=as_markdown(Table(title, ["scored on"], headings, rows)).strip(),
        device=made_by["device"]["name"],
        torch=made_by["versions"]["torch"],
    )


def _formatted(scores: Mapping[str, float]) -> list[str]:
    return [f"{scores[name]:.{decimals}f}" for name, decimals in SCORES.items()]


if __name__ == "__main__":
    run(main)

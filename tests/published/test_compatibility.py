"""The page on the published code: each of its commands is run, and its tables are complete.

Commands run in a copy of a finished study, whose names stand for those of the page.
"""

import contextlib
import importlib
import json
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any, NamedTuple

import forked
import h5py
import pytest
from conftest import TINY
from PIL import Image
from snakemake_runs import PROJECT, run_snakemake
from tiny import call

from ocvp import import_checkpoint
from ocvp.config.tree import Config
from ocvp.data.videos import VideoFile
from ocvp.models.checkpoint import read_checkpoint
from ocvp.models.loading import load_predictor, load_savi
from ocvp.new_experiment import read_template
from ocvp.published.conversion import convert

pytestmark = pytest.mark.xdist_group("finished-study")

PAGE = (PROJECT / "docs" / "compatibility.md").read_text(encoding="utf-8")
REFERENCE = PROJECT / "tests" / "files" / "reference"
PARAMS = sorted(REFERENCE.glob("*/*/experiment_params.json"))


class Command(NamedTuple):
    """A command of the page, and what it is said to make."""

    words: list[str]
    products: list[str]

    @property
    def name(self) -> str:
        """The module of a program, or the target of a workflow."""
        return self.words[2] if self.words[0] == "python" else self.words[3]


def commands() -> list[Command]:
    """Return the commands of the page, each with the paths of the paragraph after it."""
    blocks = re.findall(r"^```sh\n(.*?)```\n\nMakes (.*?)\n(?:\n|\Z)", PAGE, re.M | re.S)
    return [
        Command(
            shlex.split(text.replace("\\\n", " ")),
            re.findall(r"`([\w/.]+/[\w.]+|\w+\.json)`", made),
        )
        for text, made in blocks
    ]


COMMANDS = commands()
EXPECTED = [
    "ocvp.new_experiment",
    "ocvp.convert_params",
    "ocvp.new_experiment",
    "prepare_data",
    "train_savi",
    "ocvp.train_savi",
    "evaluate_savi",
    "ocvp.evaluate_savi",
    "train_predictor",
    "evaluate_predictor",
    "figures",
    "ocvp.import_checkpoint",
    "ocvp.import_checkpoint",
]


def test_every_command_of_the_page_is_found_with_its_products():
    assert PAGE.count("```") == 2 * len(COMMANDS)
    assert [command.name for command in COMMANDS] == EXPECTED
    assert all(command.products for command in COMMANDS)
    assert not any("--help" in command.words for command in COMMANDS)


# --- running them --------------------------------------------------------------------------------

# Names of the page to names of the tests' study.
NAMES = {
    "results/obj3d/savi_obj3d/seed0": "results/tiny/small/seed1",
    "results/obj3d/": "results/tiny/",
    "ocvp_seq_obj3d": "ocvp_seq",
    "obj3d_5_to_25": "short",
}


def here(text: str) -> str:
    for theirs, ours in NAMES.items():
        text = text.replace(theirs, ours)
    return text


@pytest.fixture(scope="module")
def work(finished_study, tmp_path_factory) -> Path:
    """Copy a finished study, and lay out published models beside it."""
    folder = tmp_path_factory.mktemp("compatibility") / "work"
    shutil.copytree(finished_study.folder, folder, symlinks=True)
    published = folder / "experiments" / "Obj3D"
    for theirs, model, checkpoint in (
        ("savi", ".", "savi_obj3d.pth"),
        ("predictor_OCVPSeq", "Predictor_OCVPSeq", "OCVPSeq_obj3d.pth"),
    ):
        source = REFERENCE / "Obj3D" / theirs
        (published / model / "models").mkdir(parents=True)
        shutil.copy(source / "experiment_params.json", published / model)
        (state,) = (source / "models").glob("*.pth")
        shutil.copy(state, published / model / "models" / checkpoint)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    COMMANDS,
    ids=[f"{index} {command.name}" for index, command in enumerate(COMMANDS)],
)
def test_commands_make_what_the_page_says(command, finished_study, work, monkeypatch):
    products = [work / here(path) for path in command.products]
    for path in products:
        path.unlink(missing_ok=True)
    monkeypatch.chdir(work)
    if command.words[0] == "snakemake":
        words = [TINY if word == "config/obj3d.yaml" else word for word in command.words[1:]]
        run = run_snakemake(
            *words,
            folder=work,
            project=finished_study.project,
            environment=finished_study.environment,
            python=forked.python(),
            read=finished_study.project,
        )
        assert run.status == 0, run.text
    else:
        assert command.words[:2] == ["python", "-m"]
        main = importlib.import_module(command.name).main
        assert call(main, *map(here, prepared(command, work))) == 0
    for path in products:
        check_product(path)
    check_command(command, products)


def prepared(command: Command, work: Path) -> list[str]:
    """Return a program's arguments, once what the page presupposes is there."""
    words = command.words[3:]
    if command.name == "ocvp.evaluate_savi":  # Obj3D has no masks
        videos = "results/tiny/videos/without_masks.h5"
        shutil.copy(work / "results/tiny/videos/test.h5", work / videos)
        with h5py.File(work / videos, "r+") as file:
            del file["masks"]
        words[words.index("--videos") + 1] = videos
    if "imported/savi.pt" in words and not (work / "imported/savi.pt").exists():
        # This test runs by itself: its SAVi is what the command before makes.
        assert call(import_checkpoint.main, *COMMANDS[-2].words[3:]) == 0
    return words


def argument(command: Command, option: str) -> str:
    return command.words[command.words.index(option) + 1]


def check_product(path: Path) -> None:
    """Check that a file is what its name says."""
    if path.suffix == ".yaml":
        read_template(path)
    elif path.suffix == ".json":
        assert json.loads(path.read_text(encoding="utf-8"))["metrics"]["psnr"]["mean"] > 0
    elif path.suffix == ".h5":
        with VideoFile(path) as videos:
            assert videos.num_videos == 4
    elif path.name == "savi.pt":
        load_savi(path)
    elif path.name == "predictor.pt":
        load_predictor(path)
    else:
        with Image.open(path) as picture:
            assert min(picture.size) >= 16
            assert path.suffix != ".gif" or picture.n_frames == 6  # 3 given, 3 predicted


def check_command(command: Command, products: list[Path]) -> None:
    """Check what the page says of some commands besides."""
    if command.name == "ocvp.evaluate_savi":
        metrics = json.loads(products[0].read_text(encoding="utf-8"))["metrics"]
        assert metrics["miou"]["mean"] is None
        assert "masks" in metrics["miou"]["reason"]
    if command.name == "ocvp.new_experiment" and "--savi" in command.words:
        config = read_template(products[0])
        assert list(config.savi) == ["savi_obj3d"]
        assert list(config.predictors) == ["ocvp_seq_my_ocvp_seq"]
    if command.name == "ocvp.import_checkpoint":
        content = read_checkpoint(products[0], kinds=("savi", "ocvp_seq"))
        assert content["imported"]["checkpoint"] == Path(argument(command, "--checkpoint")).name


@pytest.mark.slow
def test_tensorboard_shows_the_runs(work):
    # What `make tensorboard` runs, on a port of its own.
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    (module,) = re.findall(
        r"^tensorboard:.*\n\t@\$\(BIN\)/python -m (\S+) \$\(OPTIONS\)$", makefile, re.M
    )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    words = [sys.executable, "-m", module, "--port", port]
    server = subprocess.Popen(words, cwd=work, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        runs = wait_for_runs(f"http://127.0.0.1:{port}/data/runs", server)
    finally:
        server.terminate()
        server.wait()
    assert "small" in runs
    assert "ocvp_seq" in runs


def wait_for_runs(url: str, server: "subprocess.Popen[bytes]") -> list[str]:
    """Return what TensorBoard lists, once it has read it."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and server.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5) as answer:
            if runs := json.load(answer):
                return list(runs)
        time.sleep(0.2)
    raise AssertionError("TensorBoard showed no runs")


# --- the tables ----------------------------------------------------------------------------------

# From the usage pages of the published code.
SCRIPTS = {
    "01_create_experiment.py": ["-d", "--name", "--config"],
    "01_create_predictor_experiment.py": ["-d", "--name", "--predictor_name"],
    "02_train_savi.py": ["-d", "--checkpoint", "--resume_training"],
    "03_evaluate_savi.py": ["-d", "--checkpoint"],
    "03_evaluate_savi_noMasks.py": ["-d", "--checkpoint"],
    "04_train_predictor.py": [
        *("-d", "-m", "--savi_model", "--name_predictor_experiment"),
        *("--checkpoint", "--resume_training"),
    ],
    "05_evaluate_predictor.py": [
        *("-d", "-m", "--name_predictor_experiment", "--checkpoint", "--num_preds"),
    ],
    "06_generate_figs_pred.py": [
        *("-d", "-m", "--name_predictor_experiment", "--checkpoint", "--num_preds"),
        "--num_seqs",
    ],
}


def rows(heading: str) -> list[list[str]]:
    """Return the cells of the first table after a heading, without its head."""
    _, _, rest = PAGE.partition(f"\n{heading}\n")
    table = re.search(r"(?:^\|.*\n)+", rest, re.MULTILINE)
    assert table, heading
    lines = table[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_every_published_script_and_option_has_its_place():
    found: dict[str, list[str]] = {}
    script = ""
    for theirs, ours in rows("## Scripts and options"):
        assert ours
        if theirs.startswith("- "):
            options = re.findall(r"`(--?\w+)", theirs)
            found[script] += options
        else:
            script = re.findall(r"`([^` ]+)", theirs)[0]
            found[script] = []
    found["03_evaluate_savi_noMasks.py"] = found["03_evaluate_savi.py"] = [
        *found["03_evaluate_savi.py"],
        *found["03_evaluate_savi_noMasks.py"],
    ]
    for name, options in SCRIPTS.items():
        assert set(options) <= set(found[name]), name


KEYS = {row[0].strip("`"): row[1] for row in rows("## Keys of `experiment_params.json`")}


def anonymous(key: str) -> str:
    """Return a published key with NAME for a predictor's name and N for a number."""
    key = re.sub(r"^(model\.predictor)\.(?:LSTM|Transformer|OCVP-Seq|OCVP-Par)\.", r"\1.NAME.", key)
    return re.sub(r"\.\d+(?=\.|$)", ".N", key)


def leaves(value: Any, key: str = "") -> set[str]:
    if isinstance(value, dict):
        return {found for name, part in value.items() for found in leaves(part, f"{key}.{name}")}
    if isinstance(value, list) and isinstance(value[0], dict):
        return {found for part in value for found in leaves(part, f"{key}.0")}
    return {anonymous(key.removeprefix("."))}


def test_the_table_has_the_keys_of_published_files():
    files = [json.loads(path.read_text(encoding="utf-8")) for path in PARAMS]
    assert len(files) == 10
    assert set(KEYS) == set().union(*map(leaves, files))
    assert len(KEYS) == len(rows("## Keys of `experiment_params.json`"))


@pytest.mark.parametrize("path", PARAMS, ids=lambda path: "-".join(path.parts[-3:-1]))
def test_the_table_says_what_the_conversion_does(path):
    conversion = convert(json.loads(path.read_text(encoding="utf-8")))
    for key, targets in conversion.converted.items():
        for target in targets:
            section, _, rest = target.partition(".")
            where = f"{section}.NAME{re.sub(r'^[^.]+', '', rest)}"
            assert f"`{where}`" in KEYS[anonymous(key)], key
    sometimes = {"model.predictor.predictor_name", "training_prediction.sample_length"}
    for note in conversion.no_effect:
        key = anonymous(note.key)
        assert key in sometimes or KEYS[key] == "no effect", key
    assert not conversion.unknown
    assert not conversion.not_converted


def test_the_table_names_keys_of_the_config():
    schema = Config.model_json_schema()
    known = set()
    for definition in schema["$defs"].values():
        known |= definition.get("properties", {}).keys()
    for ours in KEYS.values():
        for path in re.findall(r"`([\w.]+)`", ours):
            section, name, *rest = path.split(".")
            assert section in Config.model_fields
            assert name == "NAME"
            assert set(rest) <= known, path


def test_links_of_the_page_lead_somewhere():
    headings = re.findall(r"^#+ (.*)$", PAGE, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    for link in re.findall(r"\]\(([^)]+)\)", PAGE):
        if link.startswith("#"):
            assert link[1:] in anchors, link
        elif not link.startswith("https://"):
            assert (PROJECT / "docs" / link.partition("#")[0]).is_file(), link

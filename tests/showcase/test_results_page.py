"""The results page of a made-up study of two SAVis and two seeds, whose answers are known."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import results_page
from scipy import stats
from tiny import call

from ocvp import summarize
from ocvp.evaluation.metrics import BASELINES

PROJECT = Path(__file__).parents[2]
NUM_VIDEOS = 12
HARD = np.linspace(1.0, 9.0, NUM_VIDEOS)
"""Videos differ far more than predictors do."""
METRICS = ("centre_error", "centre_error_after_contact", "centre_error_without_contact", "miou")
GAINS = {"transformer": (0.0, 0.0), "ocvp_seq": (0.5, 0.5), "ocvp_par": (0.25, 0.75)}
"""Of each seed by how many pixels errors are lower than the Transformer's, in each video."""
OVER_VELOCITY = {"transformer": (-0.6, -0.4), "ocvp_seq": (0.4, 0.6), "ocvp_par": (-0.1, 0.1)}
"""Bounds of the gains over constant velocity."""


def interval(low, high):
    return {"mean": (low + high) / 2, "low": low, "high": high}


def compared(predictor):
    other = {"gap": interval(1, 2), "gain": interval(1, 2), "beyond_half_gap": interval(0, 1)}
    means = dict.fromkeys(("prediction", "copy_last_slots", "ceiling", "gap_closed"), 1.0)
    over = interval(*OVER_VELOCITY[predictor])
    return {"num_videos": NUM_VIDEOS, **means, **other, "gain_over_constant_velocity": over}


def scores_of(predictor, seed, num_preds):
    """Return a file of scores; mIoU is the same for all predictors."""
    errors = list(HARD - GAINS[predictor][seed])
    values = dict.fromkeys(METRICS, errors) | {"miou": list(HARD / 10)}
    metrics = {
        name: {"mean": np.mean(own), "per_frame": None, "num_objects": 7, "num_videos": 3}
        | dict.fromkeys(BASELINES, 0.5 + seed)
        for name, own in values.items()
    }
    metrics["centre_error"]["num_objects"] = 40
    return {
        "protocol": {"num_context": 8, "num_preds": num_preds, "split": "test"},
        "num_videos": NUM_VIDEOS,
        "metrics": metrics,
        "per_video": values,
        "comparisons": {"subset": "moving", "num_videos": NUM_VIDEOS}
        | dict.fromkeys(METRICS, compared(predictor)),
        "made_by": {"device": {"name": "A processor"}, "versions": {"torch": "9.8.7"}},
        "host": "secret-host",
    }


def probes_of(predictor, num_preds):
    metrics = {
        f"probe_{target}_{kind}": {"mean": value, "per_frame": None, "ceiling": 0.75}
        for target in ("position", "velocity")
        for kind, value in (("linear", 0.5), ("mlp", 0.625))
    }
    window = {"num_context": 8, "num_preds": num_preds, "split": "test"}
    return {"protocol": window, "metrics": metrics}


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Return the page of the study."""
    results = tmp_path_factory.mktemp("secret-folder") / "results"
    files = {}
    for savi in ("savi", "unconditional"):
        for seed in (0, 1):
            chain = results / "tabletop" / savi / f"seed{seed}"
            metric = {"mean": 0.5 + seed, "per_frame": None, "kmeans_colour": 0.25 + seed}
            files[chain / "evaluation.json"] = {"split": "test", "metrics": {"miou": metric}}
            for predictor in GAINS:
                for name, num_preds in (("short", 8), ("long", 12)):
                    file = f"{name}.json"
                    scores = scores_of(predictor, seed, num_preds)
                    files[chain / predictor / "evaluation" / file] = scores
                    files[chain / predictor / "probe" / file] = probes_of(predictor, num_preds)
    for path, content in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content), encoding="utf-8")
    folder = results / "studies" / "results"
    folder.mkdir(parents=True)
    tables = ["--summary", folder / "summary.csv", "--comparisons", folder / "comparisons.csv"]
    assert call(summarize.main, *files, *tables) == 0
    (folder / "training_time.csv").write_text(
        "savi,predictor,seed,hours\nsavi,,0,0.25\nsavi,,1,0.75\nsavi,ocvp_seq,0,0.02\n"
    )
    output = results / "page.md"
    assert call(results_page.main, results, "--cores", 4, "--output", output) == 0
    return output.read_text(encoding="utf-8")


def row_of(page, *names):
    """Return the cells of the row that starts with these names, in the last table that has one."""
    rows = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| ")]
    return [row[len(names) :] for row in rows if row[: len(names)] == list(names)][-1]


def section_of(page, title):
    return page.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_differences_have_their_intervals_and_say_what_is_not_significant(page):
    section = section_of(page, "Differences")
    # ocvp_par is better by 0.25 and 0.75: two seeds say nothing
    low, high = stats.ttest_1samp([0.25, 0.75], 0).confidence_interval(0.95)
    uncertain = f"+0.50 [{low:+.2f}, {high:+.2f}] n.s."
    same = "+0.000 [+0.000, +0.000] n.s."
    assert row_of(section, "savi", "short", "ocvp_par") == [
        *("+0.00 [-0.10, +0.10] n.s.", "+0.000 [-0.100, +0.100] n.s."),
        *(uncertain, same),
    ]
    assert row_of(section, "savi", "long", "ocvp_seq") == [
        *("**+0.50 [+0.40, +0.60]**", "**+0.500 [+0.400, +0.600]**"),
        *("**+0.50 [+0.50, +0.50]**", same),
    ]
    assert row_of(section, "unconditional", "long", "transformer") == [
        *("**-0.50 [-0.60, -0.40]**", "**-0.500 [-0.600, -0.400]**"),
        *("-", "-"),
    ]


def test_what_is_found_is_counted(page):
    section = section_of(page, "In short")
    of_velocity = "better in 4, worse in 4, not significant in 4 of 12"
    assert f"- `centre_error`, over `constant_velocity`: {of_velocity}\n" in section
    # with two SAVis, under one protocol
    after = "- `centre_error_after_contact`, over `transformer`: "
    assert f"{after}better in 2, worse in 0, not significant in 2 of 4\n" in section
    # 12 rows by 2 metrics and 6 by 2 over constant velocity; 8 and 4 over the Transformer
    words = " ".join(section_of(page, "Differences").split())
    assert "Of the 60 intervals here and in the table of contacts 3 would" in words


def test_contacts_and_probes_are_those_of_the_long_protocol(page):
    section = section_of(page, "After contacts")
    assert "(7 of 40 objects, in 3 videos)" in " ".join(section.split())
    assert row_of(section, "savi", "ocvp_seq") == [
        *["4.500 ± 0.000"] * 2,  # in seed 1 another one is better
        *["**+0.50 [+0.40, +0.60]**"] * 2,
        *["**+0.50 [+0.50, +0.50]**"] * 2,
    ]
    assert row_of(section, "savi", "constant_velocity") == ["1.000 ± 0.707"] * 2 + ["-"] * 4
    section = section_of(page, "Probes")
    assert "| savi | predictor | position | velocity |" in section
    assert row_of(section, "savi", "ocvp_seq") == ["0.5000 ± 0.0000"] * 2
    assert row_of(section, "unconditional", "ceiling") == ["0.7500 ± 0.0000"] * 2


def test_models_have_mean_and_deviation_and_segmenters_stand_once(page):
    section = section_of(page, "Decomposition")
    assert row_of(section, "unconditional") == ["1.000 ± 0.707"]
    # of both SAVis the same, which does not make seeds out of it
    assert row_of(section, "kmeans_colour") == ["0.750 ± 0.707"]
    section = section_of(page, "Predictions")
    assert row_of(section, "long", "transformer") == ["5.000 ± 0.000", "0.500 ± 0.000"]
    assert section.count("| short | ocvp_seq |") == 2  # of each SAVi


def test_command_machine_and_time_are_told_but_no_host_nor_folder(page):
    assert "\nmake results\n" in page
    assert "- machine: A processor, torch 9.8.7, 4 cores\n" in page
    assert "`savi` 30.0, `ocvp_seq` 1.2; 3 trainings, 1.0 hours in all\n" in page
    words = " ".join(page.split())
    assert "`short` predicts 8 frames after 8, `long` predicts 12 frames after 8." in words
    assert not {word for word in ("secret", "/root", "$") if word in page}


def test_the_page_links_to_pages_that_exist(page):
    links = re.findall(r"\]\(([\w.]+)\)", page)
    assert set(links) >= {"tabletop.md", "probes.md", "metrics.md"}
    assert {link for link in links if not (PROJECT / "docs" / link).is_file()} == set()


def test_the_command_of_the_page_is_there():
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    recipe = makefile.partition("\nresults: ")[2].partition("\n\n")[0]
    for path in re.findall(r"(?:config|showcase)/[\w/]+\.\w+", recipe):
        assert (PROJECT / path).is_file()
    assert "showcase/results_page.py --cores $(CORES)" in recipe

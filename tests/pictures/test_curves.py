"""What the figures of metrics hold, and that nothing of them stays behind."""

import gc
import subprocess
import sys
import weakref

import numpy as np
import pytest

from ocvp.pictures.curves import metric_curves, predictor_styles
from ocvp.pictures.saving import figure_picture

PANELS = {
    "PSNR (dB) ↑": {
        "ocvp_seq": [30.0, 28.0, 27.0],
        "mine": [31.0, 29.0, 28.0],
        "copy_last_frame": [25.0, 22.0, 20.0],
        "constant_velocity": [26.0, 24.0, 21.0],
        "ceiling": [32.0, 32.0, 32.0],
    },
    "Centre error (pixels) ↓": {
        "ocvp_seq": [0.5, None, 2.0],
        "mine": [0.4, 0.8, 1.6],
    },
}


def test_panels_hold_the_curves_and_say_the_unit():
    figure = metric_curves(PANELS, title="A study")
    psnr, centre = figure.axes
    assert psnr.get_ylabel() == "PSNR (dB) ↑"
    assert centre.get_ylabel() == "Centre error (pixels) ↓"
    assert "Frames" in psnr.get_xlabel()
    assert [line.get_ydata().tolist() for line in psnr.lines] == (
        list(PANELS["PSNR (dB) ↑"].values())
    )
    assert all(line.get_xdata().tolist() == [1, 2, 3] for line in psnr.lines)
    assert np.isnan(centre.lines[0].get_ydata()[1])
    assert figure.get_suptitle() == "A study"


def test_one_legend_outside_the_data_names_everything_once():
    figure = metric_curves(PANELS)
    picture = figure_picture(figure)
    (legend,) = figure.legends
    names = [text.get_text() for text in legend.get_texts() if text.get_text()]
    assert sorted(names) == sorted(
        [
            "OCVP-Seq",
            "mine",
            "Copy of last frame",
            "SAVi's slots of the future",
            "Slots at constant velocity",
        ]
    )
    renderer = figure.canvas.get_renderer()
    box = legend.get_window_extent(renderer)
    for axes in figure.axes:
        assert not axes.get_tightbbox(renderer).overlaps(box)
    assert box.x0 >= 0
    assert box.x1 <= picture.shape[1]
    assert box.y0 >= 0


def test_the_legend_fits_with_many_predictors():
    names = [
        "lstm",
        "transformer",
        "ocvp_seq",
        "ocvp_par",
        *(f"a_longer_name_{i}" for i in range(5)),
    ]
    curves = {name: [1.0, 2.0] for name in [*names, "copy_last_slots"]}
    figure = metric_curves({"psnr": curves})
    picture = figure_picture(figure)
    box = figure.legends[0].get_window_extent(figure.canvas.get_renderer())
    assert box.x0 >= 0
    assert box.x1 <= picture.shape[1]
    height = figure.axes[0].get_window_extent().height
    assert height / figure.dpi > 2, "inches of the panel that the legend leaves"


def test_the_variants_of_a_grid_can_be_told_apart():
    names = [
        f"ocvp_seq-learning_rate{rate}-num_layers{layers}"
        for rate in (0.0001, 0.0002, 0.0004)
        for layers in range(1, 7)
    ]
    assert len(set(predictor_styles(names).values())) == len(names)
    figure = metric_curves({"psnr": {name: [1.0, 2.0] for name in [*names, "ceiling"]}})
    picture = figure_picture(figure)
    box = figure.legends[0].get_window_extent(figure.canvas.get_renderer())
    assert box.x0 >= 0
    assert box.x1 <= picture.shape[1]


def test_a_predictor_keeps_its_style_in_every_figure():
    styles = predictor_styles(["ocvp_seq", "mine", "lstm", "another"])
    assert predictor_styles(["lstm"])["lstm"] == styles["lstm"]
    assert len(set(styles.values())) == 4
    alone = metric_curves({"psnr": {"mine": [1.0, 2.0]}}, styles=styles)
    assert alone.axes[0].lines[0].get_color() == styles["mine"][0]
    assert metric_curves(PANELS).axes[0].lines[0].get_color() == styles["ocvp_seq"][0]


def test_rows_of_panels_leave_no_empty_axes():
    curve = {"lstm": [1.0, 2.0]}
    assert len(metric_curves(dict.fromkeys(["PSNR", "SSIM", "ARI", "mIoU"], curve)).axes) == 4


def test_seeds_are_a_mean_in_a_band_of_their_deviation():
    seeds = [[1.0, 2.0, None], [3.0, 2.0, 5.0]]
    figure = metric_curves({"psnr": {"lstm": seeds, "ceiling": [[4.0, 4.0, 4.0]]}})
    (axes,) = figure.axes
    assert axes.lines[0].get_ydata().tolist() == [2, 2, 5]
    (band,) = axes.collections  # a single row has none
    heights = {x: set() for x in (1, 2)}
    for x, y in band.get_paths()[0].vertices:
        if x in heights:
            heights[x].add(round(y, 6))
    assert heights == {1: {round(2 - 2**0.5, 6), round(2 + 2**0.5, 6)}, 2: {2.0}}


def test_lines_of_the_same_values_are_told_apart_by_their_markers():
    names = ["lstm", "transformer", "ocvp_seq", "ocvp_par"]
    for baselines in ([], ["copy_last_slots", "constant_velocity", "ceiling"]):
        curves = {name: [*range(8)] for name in (*baselines, *names)}  # those take no turns
        lines = metric_curves({"psnr": curves}).axes[0].lines[len(baselines) :]
        assert [line.get_markevery()[0] for line in lines] == [0, 1, 2, 3]
        assert {line.get_markevery()[1] for line in lines} == {4}


def test_one_predicted_frame_is_seen():
    picture = figure_picture(metric_curves({"psnr": {"copy_last_frame": [20.0]}}))
    empty = figure_picture(metric_curves({"psnr": {"copy_last_frame": [np.nan]}}))
    assert picture.shape != empty.shape or (picture != empty).any()


def test_picture_is_an_image_with_ink():
    picture = figure_picture(metric_curves(PANELS))
    assert picture.dtype == np.uint8
    assert picture.ndim == 3
    assert picture.shape[2] == 3
    assert (picture[[0, -1]] == 255).all()
    assert (picture < 128).any()


def test_figures_are_freed_and_pyplot_stays_out():
    figures = weakref.WeakSet()
    for _ in range(5):
        figure = metric_curves(PANELS)
        figure_picture(figure)
        figures.add(figure)
    assert len(figures) >= 1
    del figure
    gc.collect()
    assert len(figures) == 0
    command = (
        "import sys, ocvp.pictures.curves, ocvp.pictures.drawing, ocvp.pictures.animation; "
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", command], check=False).returncode == 0


def test_impossible_figures_are_refused():
    for panels in ({}, {"psnr": {}}):
        with pytest.raises(ValueError, match="at least one panel"):
            metric_curves(panels)

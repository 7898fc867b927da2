"""The page in a real browser: clicks, keys, what is drawn, sizes, and no complaint."""

import numpy as np
import pytest
from chromium import Page, find_chromium
from PIL import Image
from tiny import NUM_SLOTS, SIDE, write_predictor, write_random_slots, write_savi, write_videos

from ocvp.evaluation.metrics import METRICS
from ocvp.evaluation.ranking import Ranking
from ocvp.models.loading import load_predictor, load_savi
from ocvp.pictures import rollout_page
from ocvp.pictures.compared import compared_rollouts

NUM_CONTEXT, NUM_PREDS = 3, 4
LENGTHS = {"num_context": NUM_CONTEXT, "num_preds": NUM_PREDS}
FRAME = "document.getElementById('frame').textContent"
SLOT_BUTTONS = "[...document.querySelectorAll('#slots button')]"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_chromium() is None, reason="no Chromium or Chrome on this machine"),
]


@pytest.fixture(scope="module")
def rollouts(tmp_path_factory):
    """Rollouts of three videos by two predictors."""
    folder = tmp_path_factory.mktemp("page")
    path = write_savi(folder / "savi.pt")
    files = (
        write_videos(folder / "test.h5", num_videos=3),
        write_random_slots(folder / "slots.h5", path, num_videos=3),
    )
    predictors = {
        kind: load_predictor(write_predictor(folder / f"{kind}.pt", path, kind))
        for kind in ("lstm", "ocvp_seq")
    }
    return list(compared_rollouts(load_savi(path), predictors, *files, [2, 0, 1], **LENGTHS))


@pytest.fixture(scope="module")
def path(rollouts, tmp_path_factory):
    """The page, of two groups: three videos, and the first of them again."""
    folder = tmp_path_factory.mktemp("written")
    scores = {
        name: {
            "protocol": LENGTHS,
            "metrics": {metric: {"per_frame": [0.5] * NUM_PREDS} for metric in METRICS},
            "per_video": {"miou": [0.3, 0.2, 0.6]},
        }
        for name in ("lstm", "ocvp_seq")
    }
    groups = [
        rollout_page.Group({"protocol": name}, scores, Ranking("miou", [2, 0, 1]), 25.0)
        for name in ("short", "long")
    ]
    places = [(0, 2, 0), (0, 1, 2), (0, 0, 1), (1, 2, 0)]
    listed = [
        {"group": group} | rollout_page.listed_content(groups[group], video, rollouts[number])
        for group, video, number in places
    ]
    picked = [
        rollout_page.as_json(rollout_page.picked_content(rollouts[number]))
        for _, _, number in places
    ]
    contents = [rollout_page.group_content(group, rollouts[0]) for group in groups]
    page = folder / "a page.html"
    page.write_text(rollout_page.render("squares", contents, listed, picked), encoding="utf-8")
    return page


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Page(find_chromium(), tmp_path_factory.mktemp("profile")) as page:
        yield page
        assert page.complaints() == []
        asked = {url.partition(":")[0] for url in page.requests()}
        assert asked <= {"file", "data", "about"}


@pytest.fixture
def page(browser, path):
    browser.open(path, 1200, 900)
    return browser


def pixels(page, selector):
    """Return what a canvas holds, uint8 (height, width, 4)."""
    height, width, data = page.evaluate(
        f"""(() => {{
            const canvas = document.querySelector({selector!r});
            const {{ height, width }} = canvas;
            const {{ data }} = canvas.getContext("2d").getImageData(0, 0, width, height);
            return [height, width, [...data]];
        }})()"""
    )
    return np.array(data, np.uint8).reshape(height, width, 4)


def test_frames_are_drawn_as_they_are(page, rollouts):
    for key, frame in (("Home", 0), ("End", NUM_CONTEXT + NUM_PREDS - 1)):
        page.press(key)
        shown = rollouts[0]
        truth = pixels(page, ".card:nth-child(1) .frames")[..., :3]
        np.testing.assert_array_equal(truth, shown.frames[frame])
        for number, found in enumerate(shown.rollouts.values(), start=2):
            drawn = pixels(page, f".card:nth-child({number}) .frames")[..., :3]
            np.testing.assert_array_equal(drawn, found.frames[frame])
            opacity = pixels(page, f".card:nth-child({number}) .tile:nth-child(2) canvas")[..., 3]
            expected = np.rint(255 * found.masks[frame, 1])
            np.testing.assert_array_equal(opacity, expected)


def test_keys_step_through_frames_and_videos(page):
    page.press("Home")
    page.press("ArrowRight")
    assert page.evaluate(FRAME) == "Frame 2 of 7: context"
    page.press("End")
    assert page.evaluate(FRAME) == "Frame 7 of 7: predicted, +4"
    page.press("ArrowRight")
    page.press("ArrowLeft")
    assert page.evaluate(FRAME) == "Frame 6 of 7: predicted, +3"
    checked = "document.querySelector('#videos input:checked').closest('label').innerText"
    assert page.evaluate(checked).split("\n")[:2] == ["Video 2", "best"]
    page.press("n")
    page.wait_for("state.number === 1 && state.video")
    assert page.evaluate(checked).split("\n")[:2] == ["Video 1", "worst"]
    page.press("p")
    page.wait_for("state.number === 0")


def test_it_plays_and_the_cursor_follows(page):
    page.press("Home")
    page.press(" ")
    assert page.evaluate("document.getElementById('play').ariaLabel") == "Pause"
    page.wait_for("player.time === 5")
    page.click("#play")
    assert page.evaluate("document.getElementById('play').ariaLabel") == "Play"
    page.press("End")
    places = page.evaluate(
        "[...document.querySelectorAll('.cursor')].map((line) => line.x1.baseVal.value)"
    )
    assert len(places) == 5
    assert set(places) == {352}  # the right end of the axis
    # A press on a panel goes to the frame there, here to the first.
    page.click(".panel svg", across=44 / 360)
    assert page.evaluate(FRAME) == "Frame 1 of 7: context"


def test_values_at_the_cursor_are_those_of_the_scores(page, rollouts):
    page.press("End")
    shown = page.evaluate("document.querySelector('.panel li b').textContent")
    assert float(shown) == pytest.approx(rollouts[0].curves["lstm"]["psnr"][-1], rel=0.01)
    page.press("Home")
    assert page.evaluate("document.querySelector('.panel li b').textContent") == "\u2013"


def test_a_slot_under_the_mouse_is_lit_everywhere(page, rollouts):
    page.press("Home")
    page.press("Escape")
    labels = next(iter(rollouts[0].rollouts.values())).labels[0]
    (row, column), slot = (SIDE // 2, SIDE // 2), labels[SIDE // 2, SIDE // 2]
    place = {"across": (column + 0.5) / SIDE, "down": (row + 0.5) / SIDE}
    page.point(".card:nth-child(2) .masks", **place)
    assert page.evaluate("state.pointed") == slot
    assert page.evaluate("document.querySelectorAll('.tile.lit').length") == 2
    for card in (2, 3):
        drawn = pixels(page, f".card:nth-child({card}) .frames")[..., :3].astype(float)
        is_own = labels == slot
        original = next(iter(rollouts[0].rollouts.values())).frames[0]
        np.testing.assert_array_equal(drawn[is_own], original[is_own])
        np.testing.assert_allclose(drawn[~is_own], 0.3 * original[~is_own], atol=1)
    page.point("h1")
    assert page.evaluate("state.pointed") == -1


def test_an_object_lights_the_slot_that_holds_it(page, rollouts):
    page.press("Home")
    shown = rollouts[0]
    row, column = np.argwhere(shown.labels[0] == 1)[0]
    page.point(".card.truth .frames", (column + 0.5) / SIDE, (row + 0.5) / SIDE)
    assert page.evaluate("state.pointed") == shown.slots_of_labels[1]


def test_a_slot_is_kept_by_key_click_and_button(page):
    page.press("Escape")
    page.press("2")
    pressed = f"{SLOT_BUTTONS}.map((button) => button.getAttribute('aria-pressed'))"
    assert page.evaluate(pressed) == ["false", "true", "false"]
    page.click("#slots button:nth-child(3)")
    assert page.evaluate(pressed) == ["false", "false", "true"]
    page.click(".card:nth-child(2) .tile:nth-child(1)")
    page.point("h1")
    assert page.evaluate(pressed) == ["true", "false", "false"]
    page.press("Escape")
    assert page.evaluate(pressed) == ["false"] * NUM_SLOTS


def test_another_protocol_and_fewer_views(page):
    page.evaluate("find('group').value = 1; find('group').dispatchEvent(new Event('change'))")
    page.wait_for("state.number === 3 && state.video")
    assert page.evaluate("document.querySelectorAll('#videos label').length") == 1
    page.click(".toggles label:nth-child(2) input")
    displays = "[...document.querySelectorAll('.card canvas.masks')].map((c) => c.style.display)"
    assert page.evaluate(displays) == ["none"] * 3


def test_everything_has_a_name_and_can_be_reached(page):
    tree = page.call("Accessibility.getFullAXTree")["nodes"]
    roles = ("button", "slider", "combobox", "radio", "checkbox", "image", "img")
    controls = [node for node in tree if node.get("role", {}).get("value") in roles]
    assert len(controls) > 20
    unnamed = [node for node in controls if not node.get("name", {}).get("value")]
    assert unnamed == []
    # The slider says where it is in words.
    assert page.evaluate("find('time').getAttribute('aria-valuetext')") == page.evaluate(FRAME)


@pytest.mark.parametrize(("width", "height"), [(1200, 900), (390, 844), (320, 600)])
def test_it_fits_any_width(browser, path, width, height, tmp_path):
    browser.open(path, width, height, is_phone=width < 600)
    assert browser.evaluate("document.documentElement.scrollWidth") == width
    # The controls stay at the lower edge, wherever the page is scrolled to.
    for place in (0, 300, 1_000_000):
        browser.evaluate(f"scrollTo(0, {place})")
        bottom = "find('player').getBoundingClientRect().bottom"
        assert browser.evaluate(bottom) == pytest.approx(height, abs=1)
    browser.screenshot(tmp_path / "page.png")
    picture = np.asarray(Image.open(tmp_path / "page.png").convert("RGB"))
    assert picture.shape == (height, width, 3)
    assert picture.std() > 20  # not one blank colour


def test_it_paints_within_a_second(browser, path):
    seconds = []
    for _ in range(3):  # the machine may be busy with something else
        browser.open(path, 1200, 900)
        paint = "performance.getEntriesByName('first-contentful-paint')[0]"
        browser.wait_for(paint)
        seconds.append(browser.evaluate(f"{paint}.startTime") / 1000)
    assert min(seconds) < 1

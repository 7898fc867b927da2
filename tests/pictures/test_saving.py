"""Files of pictures and figures hold what was drawn, in every format."""

import base64
import io
import re
import zlib

import numpy as np
import pytest
from PIL import Image

from ocvp.pictures.curves import metric_curves
from ocvp.pictures.saving import save_figure, save_picture


@pytest.fixture
def picture():
    return np.random.default_rng(0).integers(0, 256, (31, 47, 3), dtype=np.uint8)


def test_png_holds_the_picture(picture, tmp_path):
    path = tmp_path / "figures" / "strip.png"
    save_picture(path, picture)
    np.testing.assert_array_equal(np.array(Image.open(path)), picture)
    assert [path.name for path in path.parent.iterdir()] == ["strip.png"]


def test_svg_holds_every_pixel(picture, tmp_path):
    save_picture(tmp_path / "strip.svg", picture)
    text = (tmp_path / "strip.svg").read_text(encoding="utf-8")
    (content,) = re.findall(r"data:image/png;base64,([^\"]+)", text)
    inside = np.array(Image.open(io.BytesIO(base64.b64decode(content))).convert("RGB"))
    # SVG's renderers draw it upside down, as the file says
    assert re.search(r'transform="scale\(1 -1\)', text)
    np.testing.assert_array_equal(inside[::-1], picture)


def test_pdf_holds_every_pixel(picture, tmp_path):
    save_picture(tmp_path / "strip.pdf", picture)
    content = (tmp_path / "strip.pdf").read_bytes()
    streams = re.findall(rb"/Subtype /Image.*?stream\r?\n(.*?)\r?\nendstream", content, re.DOTALL)
    assert streams, "no picture in the file"
    inside = [zlib.decompress(stream) for stream in streams]
    assert any(len(data) >= picture.size for data in inside)


@pytest.mark.parametrize("kind", ["png", "pdf", "svg"])
def test_the_same_figure_is_the_same_bytes(kind, tmp_path):
    for name in ("one", "two"):
        save_figure(tmp_path / f"{name}.{kind}", metric_curves({"psnr": {"lstm": [1.0, 2.0]}}))
    one, two = ((tmp_path / f"{name}.{kind}").read_bytes() for name in ("one", "two"))
    assert one == two


def test_curves_in_svg_are_lines(tmp_path):
    save_figure(tmp_path / "curves.svg", metric_curves({"psnr": {"lstm": [1.0, 2.0]}}))
    text = (tmp_path / "curves.svg").read_text(encoding="utf-8")
    assert "<path" in text
    assert "data:image" not in text


def test_another_ending_is_refused_by_name(picture, tmp_path):
    with pytest.raises(ValueError, match=r"strip\.jpg ends with '\.jpg'; allowed are \.png, \.pdf"):
        save_picture(tmp_path / "strip.jpg", picture)
    assert not list(tmp_path.iterdir())

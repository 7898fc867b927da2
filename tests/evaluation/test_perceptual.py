"""LPIPS from random weights in torchvision's file format, against the published package."""

import hashlib
import logging
from pathlib import Path

import pytest
import torch
from tiny import assert_one_error, call
from torchvision.models import AlexNet_Weights, VGG16_Weights, alexnet, vgg16

from ocvp import lpips_weights
from ocvp.evaluation import perceptual
from ocvp.evaluation.perceptual import MIN_SIDE, Lpips, unavailable_reason, weights_path

FILES = {"alex": "alexnet-owt-7be5be79.pth", "vgg": "vgg16-397923af.pth"}
NETWORKS = {"alex": alexnet, "vgg": vgg16}


# What lpips 0.1.4, the published package, gives for these weights and `pair(2, 3, 3, 32, 32)`: with
# the weights as they are, and with a thousandth of each, where features are all but zero.
PUBLISHED = {
    ("alex", 1.0): [0.037965871, 0.044154506, 0.048239611, 0.042250346, 0.042662788, 0.042161871],
    ("vgg", 1.0): [0.052272912, 0.051292758, 0.052564427, 0.051867642, 0.051973805, 0.050162356],
    ("alex", 0.001): [0.025255632, 0.029679015, 0.035458785, 0.030745847, 0.03150731, 0.031710446],
    ("vgg", 0.001): [
        *(1.6155479e-07, 1.6260917e-07, 1.6135577e-07),
        *(1.6179766e-07, 1.6035824e-07, 1.5585589e-07),
    ],
}


def save_random_weights(network, path, gain=1.0):
    """Save a classifier's weights under torchvision's names: random features, flat classifier."""
    with torch.device("meta"):
        state = NETWORKS[network](weights=None).state_dict()
    rng = torch.Generator().manual_seed(0)
    weights = {}
    for name, tensor in state.items():
        if name.startswith("features."):
            scale = max(1, tensor[0].numel()) ** -0.5
            weights[name] = torch.randn(tensor.shape, generator=rng) * scale * gain
        else:
            # LPIPS does not use it; one stored number keeps half a gigabyte off the disk.
            weights[name] = torch.zeros(1).expand(tensor.shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(weights, path)


@pytest.fixture(scope="module")
def torch_home(tmp_path_factory):
    home = tmp_path_factory.mktemp("torch_home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCH_HOME", str(home))
        for network in FILES:
            save_random_weights(network, weights_path(network))
        yield home


@pytest.fixture(scope="module", params=["alex", "vgg"])
def metric(request, torch_home):
    return Lpips(request.param)


def pair(*shape):
    rng = torch.Generator().manual_seed(1)
    return torch.rand(shape, generator=rng), torch.rand(shape, generator=rng)


@pytest.mark.parametrize(("network", "gain"), PUBLISHED)
def test_gives_the_numbers_of_the_published_package(tmp_path, monkeypatch, network, gain):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    save_random_weights(network, weights_path(network), gain)
    scores = Lpips(network)(*pair(2, 3, 3, 32, 32))
    assert scores.shape == (2, 3)
    # a thousandth, 13 layers deep, is a number of few bits: processors differ by 3e-5
    rel = 1e-4 if (network, gain) == ("vgg", 0.001) else 1e-5
    assert scores.flatten().tolist() == pytest.approx(PUBLISHED[network, gain], rel=rel)


def test_identical_frames_are_at_distance_zero(metric):
    frames, _ = pair(2, 3, 32, 32)
    assert metric(frames, frames).tolist() == [0.0, 0.0]
    assert metric(frames[0], frames[0]).shape == ()


def test_frames_too_small_for_the_network_are_refused(metric):
    side = {"alex": 31, "vgg": 16}[metric.network]
    assert MIN_SIDE[metric.network] == side
    assert metric(*pair(3, side, side)).isfinite()
    with pytest.raises(ValueError, match=f"at least {side}x{side} pixels"):
        metric(*pair(3, side - 1, side))


def test_wrong_shapes_are_refused(metric):
    with pytest.raises(ValueError, match=r"\(\.\.\., 3, H, W\)"):
        metric(torch.zeros(32, 32, 3), torch.zeros(32, 32, 3))
    with pytest.raises(ValueError, match="must both have shape"):
        metric(torch.zeros(2, 3, 32, 32), torch.zeros(3, 32, 32))


def test_weights_stay_fixed_and_the_random_state_untouched(torch_home):
    before = torch.random.get_rng_state()
    metric = Lpips("alex").train(False)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not any(parameter.requires_grad for parameter in metric.parameters())


def test_weights_other_than_the_published_ones_are_announced(torch_home, caplog):
    with caplog.at_level(logging.WARNING):
        Lpips("alex")
    assert "checksum" in caplog.text
    assert FILES["alex"] in caplog.text


@pytest.mark.parametrize(
    ("network", "url"),
    [("alex", AlexNet_Weights.IMAGENET1K_V1.url), ("vgg", VGG16_Weights.IMAGENET1K_V1.url)],
)
def test_missing_weights_are_explained_and_not_downloaded(tmp_path, monkeypatch, network, url):
    def refuse(*arguments, **options):
        raise AssertionError("a download was started")

    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    reason = unavailable_reason(network)
    assert reason is not None
    for part in (FILES[network], str(tmp_path / "hub" / "checkpoints"), url):
        assert part in reason
    with pytest.raises(ValueError, match="are missing"):
        Lpips(network)
    assert list(tmp_path.rglob("*.pth")) == []


def test_weights_are_downloaded_on_demand_and_checked(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    urls = {}
    for network in ("alex", "vgg"):
        digits = hashlib.sha256(network.encode()).hexdigest()[:8]
        source = tmp_path / f"{network}-{digits}.pth"
        source.write_text(network)
        urls[network] = source.as_uri()
    monkeypatch.setattr(perceptual, "_URLS", urls)
    assert call(lpips_weights.main) == 0
    assert weights_path("alex").read_text() == "alex"
    assert str(weights_path("vgg")) in capsys.readouterr().out
    # what is there is left alone
    (tmp_path / Path(urls["alex"]).name).write_text("other")
    assert call(lpips_weights.main) == 0
    weights_path("alex").unlink()
    assert call(lpips_weights.main) == 1
    assert_one_error(capsys.readouterr().err, urls["alex"], "invalid hash value")
    assert list(weights_path("alex").parent.iterdir()) == [weights_path("vgg")]


def test_nothing_is_said_against_weights_that_are_there(torch_home):
    assert unavailable_reason("alex") is None
    assert weights_path("vgg") == torch_home / "hub" / "checkpoints" / FILES["vgg"]


def test_a_damaged_file_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    path = weights_path("alex")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"<html>not found</html>")
    with pytest.raises(ValueError, match=f"{FILES['alex']} cannot be read"):
        Lpips("alex")
    torch.save({"features.0.weight": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match=f"{FILES['alex']} cannot be read"):
        Lpips("alex")


def test_unknown_networks_are_refused():
    with pytest.raises(ValueError, match="'squeeze', allowed are"):
        unavailable_reason("squeeze")

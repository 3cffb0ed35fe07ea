"""With the same weights the outputs are timm's, for the networks that timm has and torchvision has not."""

import pytest
import torch

from convsmith.nets.build import build
from convsmith.nets.pretrained import load_weights
from convsmith.nets.zoo import network

timm = pytest.importorskip("timm")

# Our name: timm's, and the side of the image to compare on.
PEERS: dict[str, tuple[str, int]] = {
    "resnet18": ("resnet18", 64),
    "resnet50": ("resnet50", 64),
}


@pytest.mark.parametrize("name", PEERS)
def test_outputs_are_timms(name, filled):
    theirs, side = PEERS[name]
    peer, state = filled(lambda: timm.create_model(theirs, pretrained=False))
    ours = build(network(name), device="meta").to_empty(device="cpu").eval()
    assert "timm" in load_weights(ours, state)
    x = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = peer(x)
        assert torch.isfinite(expected).all()
        assert expected.std() > 1e-3
        torch.testing.assert_close(ours(x), expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))

"""With the same weights the outputs are timm's, for the networks that timm has and torchvision has not."""

import pytest
import torch

from convsmith.nets.cost import cost
from convsmith.nets.modules.build import build
from convsmith.nets.modules.measure import measure_module
from convsmith.nets.weights.pretrained import load_weights
from convsmith.nets.zoo import network

timm = pytest.importorskip("timm")

# Our name: timm's, and the side of the image to compare on.
PEERS: dict[str, tuple[str, int]] = {
    "resnet18": ("resnet18", 64),
    "resnet50": ("resnet50", 64),
    "inception_v4": ("inception_v4", 96),
    "inception_resnet_v2": ("inception_resnet_v2", 96),
    "xception": ("legacy_xception", 64),
    "resnet18_d": ("resnet18d", 64),
    "resnet50_d": ("resnet50d", 64),
    "preresnet50": ("resnetv2_50", 64),
    "se_resnet50": ("seresnet50", 64),
    "se_resnet50_caffe": ("legacy_seresnet50", 64),
    "se_resnext50_32x4d": ("seresnext50_32x4d", 64),
    "se_resnext50_32x4d_caffe": ("legacy_seresnext50_32x4d", 64),
    "senet154": ("legacy_senet154", 64),
    "regnet_x_400mf_pycls": ("regnetx_004", 64),
    "regnet_y_800mf_pycls": ("regnety_008", 64),
    "repvgg_a0": ("repvgg_a0", 64),
    "repvgg_b1g4": ("repvgg_b1g4", 64),
    "mobilenet_v1_relu6": ("mobilenetv1_100", 64),
    "mobilenet_v2_140": ("mobilenetv2_140", 64),
    "mobilenet_v2_075": ("mobilenetv2_075", 64),
    "mobilenet_v2_050": ("mobilenetv2_050", 64),
    "mobilenet_v2_035": ("mobilenetv2_035", 64),
    "efficientnet_lite0": ("tf_efficientnet_lite0", 64),
    "efficientnet_lite1": ("tf_efficientnet_lite1", 65),
    "efficientnet_lite2": ("tf_efficientnet_lite2", 64),
    "efficientnet_lite3": ("tf_efficientnet_lite3", 64),
    "efficientnet_lite4": ("tf_efficientnet_lite4", 64),
    "nasnet_a_large": ("nasnetalarge", 64),
    "pnasnet5_large": ("pnasnet5large", 64),
}
# Siblings of those above, which are only counted. (timm's basic blocks with gates have a ReLU more.)
COUNTED = {
    "resnet34_d": "resnet34d",
    "resnet101_d": "resnet101d",
    "resnet152_d": "resnet152d",
    "resnext101_32x4d": "resnext101_32x4d",
    "preresnet101": "resnetv2_101",
    "preresnet152": "resnetv2_152",
    "se_resnet101": "seresnet101",
    "se_resnet152": "seresnet152",
    "se_resnet101_caffe": "legacy_seresnet101",
    "se_resnet152_caffe": "legacy_seresnet152",
    "se_resnext101_32x4d": "seresnext101_32x4d",
    "se_resnext101_32x4d_caffe": "legacy_seresnext101_32x4d",
    "regnet_y_8gf_pycls": "regnety_080",
    "repvgg_a1": "repvgg_a1",
    "repvgg_a2": "repvgg_a2",
    "repvgg_b0": "repvgg_b0",
    "repvgg_b1": "repvgg_b1",
    "se_resnet18": "legacy_seresnet18",
    "se_resnet34": "legacy_seresnet34",
}


@pytest.mark.spread(3)
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


@pytest.mark.spread(3)
@pytest.mark.parametrize(
    ("name", "theirs"), [*((name, theirs) for name, (theirs, _) in PEERS.items()), *COUNTED.items()]
)
def test_parameters_and_macs_are_timms(name, theirs):
    with torch.device("meta"):
        peer = timm.create_model(theirs, pretrained=False)
    ours = network(name)
    counted, numbers = measure_module(peer, tuple(ours.input)), cost(ours)
    assert (numbers.params, numbers.macs) == (counted.params, counted.macs)

"""Weights that others published know what they should on real pictures, if the files are there."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import convsmith as cs
from convsmith.data.options import DataOptions
from convsmith.data.preprocess import preprocess_for
from convsmith.data.sources.opening import open_source
from convsmith.nets.modules.build import build
from convsmith.nets.weights.pretrained import load_weights
from convsmith.nets.zoo import network
from convsmith.runs.weights import load_weights as read_weights
from convsmith.tasks.classify import Classify
from convsmith.training.engine import resolve
from convsmith.training.options import EngineOptions
from convsmith.work.evaluate import evaluate_examples

SHARED = Path(__file__).parents[3] / "shared"
WEIGHTS = SHARED / "weights" / "cifar10_resnet20.safetensors"
IMAGES = SHARED / "data" / "cifar10" / "test.parquet"
# What those weights were trained with.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.mark.skipif(not (WEIGHTS.exists() and IMAGES.exists()), reason="the public weights or CIFAR-10 are not here")
def test_a_public_resnet20_scores_as_published():
    pytest.importorskip("pyarrow")
    module = build(network("resnet20_cifar"), device="meta").to_empty(device="cpu").eval()
    assert "akamaster" in load_weights(module, read_weights(WEIGHTS), str(WEIGHTS))
    options = DataOptions(source=str(IMAGES))
    source = open_source(options)
    preprocess = replace(preprocess_for(source.card, options, (MEAN, STD)), mean=MEAN, std=STD)
    engine = resolve(EngineOptions(device="cpu"))
    task = Classify(source.card.classes)
    result = evaluate_examples(module, source.splits["train"], task, preprocess, options, engine)
    assert result.count == 10_000
    assert round(result.accuracy, 4) == 0.8103


LITE0, FRUIT = SHARED / "weights" / "efficientnet_lite0.safetensors", SHARED / "data" / "fruit"
FRUIT_HERE = pytest.mark.skipif(not (LITE0.exists() and FRUIT.exists()), reason="the weights or the fruit are not here")
# Of ImageNet's names only one is an apple's, a green one; most of these apples are red.
NAMES = {"apple": "Granny Smith", "banana": "banana", "orange": "orange"}


def fruit(each):
    """Pictures that show one fruit alone, cut to its box of at least 100 pixels: `each` of a kind."""
    found, left = [], Counter(dict.fromkeys(NAMES, each))
    for entry in json.loads((FRUIT / "boxes.json").read_text()):
        kind, *box = entry["objects"][0]
        small = min(box[2] - box[0], box[3] - box[1]) < 100
        if len(entry["objects"]) == 1 and not small and left[kind]:
            left[kind] -= 1
            found.append((NAMES[kind], np.asarray(Image.open(FRUIT / entry["image"]).convert("RGB").crop(box))))
    return found


@pytest.fixture(scope="module")
def lite0(tmp_path_factory):
    """EfficientNet-Lite0 by its published file, which lies in the cache."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("CONVSMITH_CACHE", str(folder))
        (folder / "efficientnet_lite0").mkdir()
        (folder / "efficientnet_lite0" / LITE0.name).symlink_to(LITE0)
        yield cs.pretrained("efficientnet_lite0")


@FRUIT_HERE
def test_lite0_names_photographs_of_fruit(lite0):
    pictures = fruit(20)
    assert len(pictures) == 60
    predictions = lite0.predict([picture for _, picture in pictures])
    first, five = Counter(), Counter()
    for (name, _), prediction in zip(pictures, predictions, strict=True):
        first[name] += prediction.top[0].label == name
        five[name] += name in [guess.label for guess in prediction.top]
    # Measured: 16, 12 and 5 of 20 by the first answer, 19, 16 and 18 by the first five; bf16 may move one.
    assert (first["banana"] >= 15, first["orange"] >= 11, five["banana"] >= 18, five["orange"] >= 15) == (True,) * 4
    assert five["Granny Smith"] >= 16


@FRUIT_HERE
def test_lite0_is_timms_network_with_the_same_weights(lite0):
    """Its padding and eps are TensorFlow's: timm's other form, with zeros on each side, answers otherwise."""
    timm = pytest.importorskip("timm")
    from convsmith.nets.weights.peers import names_of

    ours = lite0.module.state_dict()
    state = {theirs: ours[mine] for theirs, mine in names_of("timm", "efficientnet_lite0").items()}
    x = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found = lite0.module(x)
        for name, same in (("tf_efficientnet_lite0", True), ("efficientnet_lite0", False)):
            peer = timm.create_model(name, pretrained=False).eval()
            peer.load_state_dict(state)
            assert torch.allclose(peer(x), found, rtol=1e-3, atol=1e-3) == same

"""Weights that others published score what they published on the same files, if the files are there."""

from dataclasses import replace
from pathlib import Path

import pytest

from convsmith.data.options import DataOptions
from convsmith.data.preprocess import preprocess_for
from convsmith.data.sources.opening import open_source
from convsmith.nets.build import build
from convsmith.nets.pretrained import load_weights
from convsmith.nets.zoo import network
from convsmith.recipes.evaluate import evaluate_examples
from convsmith.runs.weights import load_weights as read_weights
from convsmith.tasks.classify import Classify
from convsmith.training.engine import resolve
from convsmith.training.options import EngineOptions

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

"""Weight files with more names than any network has: refused by their header, at once."""

import json
import time
from pathlib import Path

import pytest
import torch

from convsmith.base.errors import BadFile, UsageError
from convsmith.nets.modules.build import build
from convsmith.nets.weights.pretrained import load_weights as into
from convsmith.nets.zoo import NETWORKS, network
from convsmith.runs.trained import MOST_TENSORS, is_bundle
from convsmith.runs.weights import load_bundle, load_weights


def written(path: Path, names: int, padding: int = 0) -> Path:
    """A safetensors file of tensors with one number each, by hand: the library takes its time for so many."""
    at = {"dtype": "F32", "shape": [1]}
    header = {f"layer{n}.weight": {**at, "data_offsets": [4 * n, 4 * n + 4]} for n in range(names)}
    text = json.dumps(header).encode() + b" " * padding
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(4 * names))
    return path


@pytest.mark.parametrize(
    ("names", "padding", "says"),
    [
        (200_000, 0, r"expected a header of at most 10,000,000 bytes, received 1\d,\d{3},\d{3}; fetch the file again$"),
        (MOST_TENSORS + 1, 0, r"expected at most 30,000 tensors, received 30,001; fetch the file again$"),
        (1, 10_000_000, r"expected a header of at most 10,000,000 bytes, received 10,000,0\d\d; fetch the file again$"),
    ],
)
def test_more_names_than_any_network_has(names: int, padding: int, says: str, tmp_path: Path) -> None:
    path = written(tmp_path / "many.safetensors", names, padding)
    began = time.process_time()
    with pytest.raises(BadFile, match=says):
        load_weights(path)
    assert not is_bundle(path)
    with pytest.raises(BadFile):
        load_bundle(path)
    assert time.process_time() - began < 1


def test_as_many_names_as_there_may_be(tmp_path: Path) -> None:
    assert len(load_weights(written(tmp_path / "many.safetensors", MOST_TENSORS))) == MOST_TENSORS


def test_names_that_no_reading_could_fit_are_not_tried() -> None:
    module = build(network("lenet5"), seed=0)
    weights = dict.fromkeys((f"layer{n}.weight" for n in range(200_000)), torch.zeros(1))
    began = time.process_time()
    with pytest.raises(UsageError, match=r"^the weights: holds 200,000 tensors, and the network has 10$"):
        into(module, weights)
    assert time.process_time() - began < 1


def test_the_bound_leaves_room_for_every_network_with_its_optimizer() -> None:
    largest = max(NETWORKS, key=lambda name: len(network(name).trace().steps))
    assert 3 * len(build(network(largest), device="meta").state_dict()) < MOST_TENSORS

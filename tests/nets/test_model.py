"""What names a network: a tree, or a module of others."""

import json

import pytest
import torch

from convsmith.base.errors import UsageError
from convsmith.nets.cost import cost
from convsmith.nets.model import no_tree, tree_of
from convsmith.nets.source import Foreign
from convsmith.nets.zoo import network

TREE = network("squeezenet1_1", classes=7)
MODULE = Foreign("torchvision:squeezenet1_1", {"num_classes": 7})


def test_a_tree_and_a_module_answer_the_same_questions():
    assert (TREE.name, TREE.source, TREE.tree, TREE.classes) == ("squeezenet1_1", "squeezenet1_1", TREE, 7)
    assert (MODULE.name, MODULE.source, MODULE.tree, MODULE.classes) == (MODULE.source, MODULE.source, None, 7)
    assert Foreign("torchvision:squeezenet1_1", {}).classes is None
    assert [name for name, _ in TREE.stages][:2] == ["stem", "stage1"]
    assert MODULE.stages == ()
    assert TREE.named("runs/one") == "runs/one"
    assert MODULE.named("runs/one") == "torchvision:squeezenet1_1"
    for model in (TREE, MODULE):
        assert type(model).from_json(json.loads(json.dumps(model.to_json()))) == model


@pytest.mark.parametrize("model", [TREE, MODULE], ids=["tree", "module"])
def test_weights_are_a_function_of_the_seed(model):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one, same, other = (model.make(seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(one[key], same[key]) for key in one)
    assert not all(torch.equal(one[key], other[key]) for key in one)


def test_prices_agree():
    assert TREE.price() == cost(TREE)
    assert TREE.price((3, 64, 64)) == cost(TREE, (3, 64, 64))
    assert MODULE.price() is None
    measured = MODULE.price((3, 64, 64))
    assert (measured.params, measured.macs) == (TREE.price().params, TREE.price((3, 64, 64)).macs)


def test_what_a_module_cannot_do_is_said_in_one_sentence(tmp_path):
    assert tree_of(TREE, "never") is TREE
    said = f"{MODULE.source} is not a convsmith network; it was imported from torchvision, so it cannot be drawn"
    with pytest.raises(UsageError) as caught:
        tree_of(MODULE, "it cannot be drawn")
    assert str(caught.value) == said
    own = Foreign(f"{tmp_path}/my_net.py:make", {})
    assert no_tree(own, "it has no stages") == (
        f"{tmp_path}/my_net.py:make is not a convsmith network; it was imported from my_net.py, so it has no stages"
    )

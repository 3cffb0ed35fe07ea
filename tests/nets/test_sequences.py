"""Embeddings and recurrent layers: against torch's own on packed sequences, what padding does, counts, gradients."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from convsmith.base.errors import UnknownName, UsageError
from convsmith.nets.cost import cost
from convsmith.nets.modules.build import build
from convsmith.nets.network import Network
from convsmith.nets.ops import AdaptiveMaxPool, Conv, Embedding, Flatten, Linear, Recurrent, Unflatten
from convsmith.nets.shape import Shape
from convsmith.nets.tree import MAIN, Keep, Node, seq
from convsmith.nets.zoo import edit

LENGTHS = [7, 3, 1, 5]


def reader(leaf: Node, **changes) -> Network:
    """Tokens of nine words, embedded; `leaf` reads them."""
    stages = (("stage1", seq(tokens=Keep("text"), embed=Embedding(9, 4), it=leaf)),)
    fields = {"input": Shape(1, (7,)), "input_name": "tokens", "input_dtype": "int64", "stages": stages}
    return Network(**{"name": "reader", "family": "reader", "heads": ((MAIN, seq()),), **fields, **changes})


@pytest.fixture
def tokens():
    """Four sequences, padded by zeros at their end."""
    text = torch.randint(1, 9, (4, 1, 7), generator=torch.Generator().manual_seed(0))
    for row, length in zip(text, LENGTHS, strict=True):
        row[:, length:] = 0
    return text


def theirs(module: nn.Module, cell: str, directions: int) -> nn.Module:
    """torch's own layer of both directions with the same weights."""
    ours = module.get_submodule("stage1.it")
    layer = {"lstm": nn.LSTM, "gru": nn.GRU}[cell](4, 5, batch_first=True, bidirectional=directions == 2)
    state = {}
    for name, suffix in (("ahead", ""), ("back", "_reverse"))[:directions]:
        state |= {key + suffix: value for key, value in ours.get_submodule(name).state_dict().items()}
    layer.load_state_dict(state)
    return layer


@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_states_are_torchs_on_packed_sequences(cell, directions, tokens):
    module = build(reader(Recurrent(5, cell, directions, tokens="text")), seed=0)
    last = build(reader(Recurrent(5, cell, directions, "last", tokens="text")), seed=0)
    peer = theirs(module, cell, directions)
    embedded = module.get_submodule("stage1.embed")(tokens).movedim(1, 2)
    packed, ends = peer(pack_padded_sequence(embedded, LENGTHS, batch_first=True, enforce_sorted=False))
    expected, _ = pad_packed_sequence(packed, batch_first=True)
    torch.testing.assert_close(module(tokens), expected.movedim(2, 1))
    hidden = ends[0] if cell == "lstm" else ends
    torch.testing.assert_close(last(tokens), torch.cat(list(hidden), 1))


@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_without_tokens_every_step_counts(cell, directions, tokens):
    module = build(reader(Recurrent(5, cell, directions)), seed=0)
    last = build(reader(Recurrent(5, cell, directions, "last")), seed=0)
    embedded = module.get_submodule("stage1.embed")(tokens).movedim(1, 2)
    states, ends = theirs(module, cell, directions)(embedded)
    torch.testing.assert_close(module(tokens), states.movedim(2, 1))
    hidden = ends[0] if cell == "lstm" else ends
    torch.testing.assert_close(last(tokens), torch.cat(list(hidden), 1))


@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("gives", ["states", "last"])
def test_more_padding_changes_nothing(directions, gives, tokens):
    module = build(reader(Recurrent(5, "gru", directions, gives, tokens="text")), seed=0)
    longer = torch.cat([tokens, tokens.new_zeros(4, 1, 6)], 2)
    short, long = module(tokens), module(longer)
    if gives == "states":
        assert not long[..., 7:].any()
        long = long[..., :7]
    torch.testing.assert_close(short, long)


def test_padding_within_a_sequence_counts_and_padding_alone_gives_zeros(tokens):
    module = build(reader(Recurrent(5, "lstm", 2, "last", tokens="text")), seed=0)
    tokens[0] = torch.tensor([3, 0, 4, 0, 0, 0, 0])
    tokens[1] = 0
    output = module(tokens)
    assert not output[1].any()
    assert torch.isfinite(output).all()
    alone = module(tokens[:1, :, :3])
    torch.testing.assert_close(output[:1], alone)


def test_another_token_may_be_the_padding(tokens):
    zero = build(reader(Recurrent(5, tokens="text")), seed=0)
    eight = build(reader(Recurrent(5, tokens="text", padding=8)), seed=0)
    tokens[tokens == 8] = 7
    renamed = torch.where(tokens == 0, 8, tokens)
    assert torch.equal(eight(renamed), zero(tokens))


def test_an_answer_does_not_depend_on_the_batch(tokens):
    module = build(reader(Recurrent(5, "lstm", 2, "last", tokens="text")), seed=0)
    torch.testing.assert_close(module(tokens)[2:3], module(tokens[2:3]))


def test_the_vector_of_padding_is_zero_and_stays_so(tokens):
    module = build(reader(Recurrent(5, "gru", 1, "last", tokens="text")), seed=0)
    table = module.get_submodule("stage1.embed").weight
    assert table.shape == (9, 4)
    assert not table[0].any()
    module(tokens).square().sum().backward()
    assert not table.grad[0].any()
    assert table.grad[1:].any()
    learnt = build(replace(reader(seq()), stages=(("stage1", Embedding(9, 4, padding=None)),)), seed=0)
    assert learnt.get_submodule("stage1").weight[0].any()


def test_wrong_tokens_are_said(tokens):
    module = build(reader(Recurrent(5)), seed=0)
    with pytest.raises(UsageError, match=r"^tokens: expected numbers from 0 to 8, received -1 to 7$"):
        module(tokens - 1)
    with pytest.raises(UsageError, match=r"^reader: tokens is int64, received float32$"):
        module(tokens.float())
    with pytest.raises(UnknownName, match=r"^unknown kept value at stage1.it: 'txet'; nearest: text$"):
        reader(Recurrent(5, tokens="txet")).trace()
    stage = seq(embed=Embedding(9, 4), other=Keep("other"), it=Recurrent(5, tokens="other"))
    with pytest.raises(UsageError, match=r"^stage1.it: recurrent of 4x7 needs 'other' of 1x7, which is 4x7$"):
        reader(seq(), stages=(("stage1", stage),)).trace()


@pytest.mark.parametrize(
    ("leaf", "params", "macs", "elementwise"),
    [
        (Recurrent(5), 4 * (4 * 5 + 5 * 5 + 2 * 5), 7 * 4 * (4 * 5 + 5 * 5), 7 * 21 * 5),
        (Recurrent(5, "gru"), 3 * (4 * 5 + 5 * 5 + 2 * 5), 7 * 3 * (4 * 5 + 5 * 5), 7 * 17 * 5),
        (Recurrent(5, "gru", 2), 2 * 3 * (4 * 5 + 5 * 5 + 2 * 5), 2 * 7 * 3 * (4 * 5 + 5 * 5), 2 * 7 * 17 * 5),
        (Recurrent(5, gives="last", tokens="text"), 4 * (4 * 5 + 5 * 5 + 2 * 5), 7 * 4 * 45, 7 * 21 * 5),
    ],
)
def test_counts_by_hand(leaf, params, macs, elementwise):
    row = next(row for row in cost(reader(leaf)).layers if row.name == "stage1.it")
    assert (row.params, row.macs, row.elementwise) == (params, macs, elementwise)


def test_shapes():
    for leaf, shape in (
        (Recurrent(5), (5, 7)), (Recurrent(5, directions=2), (10, 7)),
        (Recurrent(5, gives="last"), (5,)), (Recurrent(5, "gru", 2, "last"), (10,)),
    ):  # fmt: skip
        assert tuple(reader(leaf).trace().stages["stage1"].shape) == shape


def test_a_text_cnn_is_made_of_what_there_is(tokens):
    """Kim 2014: convolutions over words, then the largest value over time; the field counts tokens."""
    tree = reader(Conv(6, (3,)), heads=((MAIN, seq(over=AdaptiveMaxPool(1), flatten=Flatten(), linear=Linear(2))),))
    numbers = cost(tree)
    assert numbers.receptive_field == (3,)
    assert build(tree, seed=0)(tokens).shape == (4, 2)
    assert edit(tree, "size(12)").trace().stages["stage1"].shape == Shape(6, (10,))
    assert Network.from_json(tree.to_json()) == tree


@pytest.mark.parametrize("changes", [{"cell": "rnn"}, {"cell": None}, {"gives": "first"}, {"gives": 1}])
def test_an_unknown_choice_of_a_recurrent_layer_is_said(changes):
    with pytest.raises(UsageError, match=r"unknown (cell|value)"):
        cost(reader(Recurrent(4, **{"gives": "last"} | changes)))


@pytest.mark.parametrize("sizes", [2, None, ("a",), "ab", (2.0, 2), (True,), (0, 2), (), (1, 1, 1, 1), [2, 2]])
def test_sizes_that_are_none_are_said(sizes):
    with pytest.raises(UsageError, match="expected 1 to 3 numbers of at least 1"):
        Unflatten(sizes).output(Shape(12))

"""Networks with several inputs: names, shapes and dtypes, what they cost, edits, JSON, and errors."""

import json
from dataclasses import replace

import pytest
import torch

from convsmith.base.errors import UnknownName, UsageError, WrongType
from convsmith.nets.cost import cost
from convsmith.nets.modules.build import build
from convsmith.nets.modules.measure import measure_module
from convsmith.nets.network import Network
from convsmith.nets.ops import (
    Act,
    AdaptiveAvgPool,
    BatchNorm,
    Conv,
    Correlate,
    Embedding,
    Flatten,
    Linear,
    Recurrent,
    Unflatten,
)
from convsmith.nets.shape import Field, Input, Shape
from convsmith.nets.tree import IDENTITY, MAIN, Keep, Use, add, cat, gate, seq
from convsmith.nets.views.difference import difference
from convsmith.nets.views.drawing import diagram
from convsmith.nets.views.review import review
from convsmith.nets.views.stages import summarize, units
from convsmith.nets.weights.carry import carry
from convsmith.nets.zoo import edit, network

QUESTION = Input("question", Shape(1, (6,)), "int64")


def vqa(**changes):
    """A small ABC-CNN: the question's last state makes a filter, its correlation with the map gates the map."""
    asked = seq(
        use=Use("question"), embed=Embedding(9, 4), lstm=Recurrent(5, "lstm", 1, "last", tokens="question"),
        keep=Keep("asked"), linear=Linear(3 * 3 * 8), act=Act("sigmoid"), kernel=Unflatten((3, 3)), made=Keep("kernel"),
    )  # fmt: skip
    attend = gate(correlate=Correlate("kernel", 3, 1), act=Act("sigmoid"))
    head = cat(image=seq(pool=AdaptiveAvgPool(1), flatten=Flatten()), question=Use("asked"))
    base = Network(
        name="vqa",
        family="vqa",
        input=Shape(3, (8, 8)),
        inputs=(QUESTION,),
        stages=(
            ("stage1", seq(conv=Conv(8, 3, padding=1, bias=False), norm=BatchNorm(), act=Act(), map=Keep("map"))),
            ("asked1", asked),
            ("attention", seq(use=Use("map"), attend=attend)),
        ),
        heads=((MAIN, seq(both=head, linear=Linear(13))),),
    )
    return replace(base, **changes)


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(1, 9, (4, 1, 6), generator=generator)
    tokens[0, 0, 3:] = 0
    return {"images": torch.randn(4, 3, 8, 8, generator=generator), "question": tokens}


def test_a_network_of_two_inputs_is_what_its_parts_are_by_hand(batch):
    module = build(vqa(), seed=0).eval()
    output, found = module(batch, at=("map", "asked", "kernel", "question"))
    part = module.get_submodule
    embedded = part("asked1.embed")(batch["question"])
    for i, length in enumerate([3, 6, 6, 6]):
        states, _ = part("asked1.lstm.ahead")(embedded[i : i + 1, :, :length].movedim(1, 2))
        torch.testing.assert_close(found["asked"][i], states[0, -1])
    kernel = part("asked1.linear")(found["asked"]).sigmoid().view(4, 8, 3, 3)
    torch.testing.assert_close(found["kernel"], kernel)
    scores = [torch.nn.functional.conv2d(found["map"][i : i + 1], kernel[i : i + 1], padding=1) for i in range(4)]
    attended = found["map"] * torch.cat(scores).sigmoid()
    expected = part("head.linear")(torch.cat([attended.mean((2, 3)), found["asked"]], 1))
    torch.testing.assert_close(output, expected)
    assert torch.equal(found["question"], batch["question"])
    assert output.shape == (4, 13)
    output.sum().backward()
    assert all(p.grad is not None for p in module.parameters())


def test_what_it_costs():
    numbers = cost(vqa())
    rows = {row.name: row for row in numbers.layers}
    assert (rows["asked1.embed"].params, rows["asked1.embed"].macs) == (36, 0)
    assert (rows["asked1.lstm"].params, rows["asked1.lstm"].macs) == (4 * 5 * (4 + 5 + 2), 6 * 4 * 5 * (4 + 5))
    assert rows["asked1.lstm"].elementwise == 6 * 21 * 5
    assert (rows["attention.attend.correlate"].params, rows["attention.attend.correlate"].macs) == (0, 8 * 9 * 64)
    assert numbers.params == sum(p.numel() for p in build(vqa()).parameters())
    counted = measure_module(build(vqa()), (3, 8, 8))
    assert counted.macs == numbers.macs - rows["attention.attend.correlate"].macs
    assert numbers.receptive_field == (5, 5)  # of the image: 3x3 twice
    assert rows["asked1.linear"].receptive_field == (1,)  # of the question's tokens, before what reads all of them
    assert build(vqa()).feature_info()[2].stride == (1, 1)


def test_it_is_shown():
    tree = vqa()
    assert [str(input) for input in tree.receives] == ["images 3x8x8", "question 1x6 int64"]
    assert "input 3×8×8, question 1×6: " in diagram(tree)
    assert [row.name for row in summarize(tree)] == ["stage1", "asked1", "attention", "head"]
    assert units(tree)
    assert isinstance(review(tree), list)


def test_it_survives_json():
    for tree in (
        vqa(),
        vqa(input_name="photo"),
        replace(vqa(inputs=()), stages=(), heads=((MAIN, seq(flatten=Flatten())),)),
    ):
        assert Network.from_json(json.loads(json.dumps(tree.to_json()))) == tree
    written = vqa().to_json()
    assert written["inputs"] == [{"name": "question", "shape": [1, 6], "dtype": "int64"}]
    assert "input_name" not in written
    assert "input_dtype" not in written
    alone = network("lenet5").to_json()
    assert list(alone) == ["format", "name", "family", "numbers", "input", "init", "edits", "stages", "heads"]


@pytest.mark.parametrize(
    ("inputs", "error", "text"),
    [
        ({}, WrongType, "inputs: expected a JSON array, received {}"),
        (["question"], WrongType, "inputs[0]: expected an object of name, shape and dtype, received 'question'"),
        ([{"name": "q", "shape": [1]}], WrongType, "inputs[0]: expected an object of name, shape and dtype, received"),
        ([{"name": 3, "shape": [1], "dtype": "int64"}], WrongType, "inputs[0].name: expected a text, received 3"),
        ([{"name": "q", "shape": [], "dtype": "int64"}], WrongType, "inputs[0].shape: expected channels and sizes of"),
        ([{"name": "q", "shape": [1, 0], "dtype": "int64"}], WrongType, "inputs[0].shape: expected channels and sizes"),
        ([{"name": "q", "shape": 5, "dtype": "int64"}], WrongType, "inputs[0].shape: expected channels and sizes of"),
        (
            [{"name": "q", "shape": [2**40], "dtype": "int64"}],
            WrongType,
            "inputs[0].shape: expected channels and sizes",
        ),
        ([{"name": "q", "shape": [1], "dtype": "int8"}], UnknownName, "unknown value for inputs[0].dtype: 'int8'"),
        ([{"name": "_q", "shape": [1], "dtype": "int64"}], UsageError, "a child cannot be called '_q'"),
        ([{"name": "q", "shape": [1], "dtype": "int64"}] * 17, UsageError, "inputs: expected at most 16, received 17"),
    ],
)
def test_bad_json_is_said_with_its_place(inputs, error, text):
    with pytest.raises(error) as raised:
        Network.from_json(vqa().to_json() | {"inputs": inputs})
    assert str(raised.value).startswith(text)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"inputs": (QUESTION, QUESTION)}, "an input has the name of another, a stage or a head: question, question"),
        (
            {"inputs": (replace(QUESTION, name="images"),)},
            "an input has the name of another, a stage or a head: images",
        ),
        (
            {"inputs": (replace(QUESTION, name="stage1"),)},
            "an input has the name of another, a stage or a head: stage1",
        ),
        ({"inputs": (QUESTION, replace(QUESTION, name="map"))}, "a kept value has the name of an input: map"),
    ],
)
def test_names_are_distinct(changes, text):
    with pytest.raises(UsageError, match=f"^vqa: {text}$"):
        vqa(**changes)


def test_a_stage_may_still_be_called_images(one_stage):
    tree = one_stage(Conv(2), (1, 4, 4))
    assert replace(tree, stages=(("images", Conv(2)),)).trace().stages["images"].shape == Shape(2, (4, 4))


def test_what_is_missing_or_misshaped_is_said(batch):
    module = build(vqa(), seed=0)
    for given, text in (
        (batch["images"], "vqa receives images, question: give it a dictionary of these, received one tensor"),
        ({"images": batch["images"]}, "vqa receives images, question; given were images"),
        ({}, "vqa receives images, question; given were none"),
        (batch | {"extra": batch["images"]}, "vqa receives images, question; given were images, question, extra"),
        (batch | {"question": batch["question"][:3]}, r"vqa: question is \(4, 1, 6\), received \(3, 1, 6\)"),
        (batch | {"question": batch["question"][:, 0]}, r"vqa: question is \(4, 1, 6\), received \(4, 6\)"),
        (batch | {"question": batch["question"][..., :5]}, r"vqa: question is \(4, 1, 6\), received \(4, 1, 5\)"),
        (batch | {"images": batch["images"][:, :1]}, r"vqa: images is \(4, 3, 8, 8\), received \(4, 1, 8, 8\)"),
        (batch | {"images": batch["images"][0]}, r"vqa: images is \(3, 3, 8, 8\), received \(3, 8, 8\)"),
        (batch | {"question": batch["question"].float()}, "vqa: question is int64, received float32"),
        (batch | {"images": batch["question"].new_zeros(4, 3, 8, 8)}, "vqa: images is float32, received int64"),
        (batch | {"question": batch["question"] + 3}, "tokens: expected numbers from 0 to 8, received 3 to 11"),
    ):
        for run in (module, module.features):
            with pytest.raises(UsageError, match=f"^{text}$"):
                run(given)


def test_one_input_takes_a_tensor_or_a_dictionary(one_stage):
    module, x = build(one_stage(Conv(2), (1, 4, 4)), seed=0), torch.ones(2, 1, 4, 4)
    assert torch.equal(module({"images": x}), module(x))
    assert torch.equal(module.features({"images": x})["stage1"], module(x))
    with pytest.raises(UsageError, match=r"^tiny receives images; given were image$"):
        module({"image": x})


def test_other_sizes_of_the_first_input_are_taken_as_before(batch):
    larger = torch.randn(4, 3, 12, 10)
    assert build(vqa(), seed=0)(batch | {"images": larger}).shape == (4, 13)
    assert vqa().trace(Shape(3, (12, 10))).stages["attention"].shape == Shape(8, (12, 10))


EDITS = [
    "classes(4)",
    "channels(1)",
    "size(16)",
    "norm(group)",
    "act(silu)",
    "drop_path(0.1)",
    "main_head",
    "recompute(2)",
]


@pytest.mark.filterwarnings("ignore:the edit")
@pytest.mark.parametrize(
    "text", [*EDITS, "fold_norm", "dropout(0.1)", "separable", "identity_layers(2)", "plain", "se(2)"]
)
def test_edits_keep_the_inputs(text, batch):
    changed = edit(vqa(), text)
    assert changed.inputs == (QUESTION,)
    shape = changed.input
    module = build(changed, seed=0).train()
    images = torch.randn(4, *shape)
    assert module({"images": images, "question": batch["question"]}).shape == (4, changed.classes)


@pytest.mark.filterwarnings("ignore:the edit")
@pytest.mark.parametrize("text", ["main_head", "fold_norm", "plain", "recompute(2)", "drop_path(0.1)", "low_rank(1.0)"])
def test_weights_are_carried_along(text, batch):
    module = build(vqa(), seed=0).eval()
    changed, state = carry(vqa(), module.state_dict(), text)
    after = build(changed, seed=1).eval()
    after.load_state_dict(state)
    torch.testing.assert_close(after(batch), module(batch))


def test_a_cut_leaves_inputs_that_nobody_uses(batch):
    short = edit(vqa(), "cut(stage1)")
    assert [input.name for input in short.inputs] == ["question"]
    assert build(short, seed=0)(batch).shape == (4, 13)


@pytest.mark.filterwarnings("ignore:the edit")
def test_edits_of_families_refuse():
    for text in ("widen(2)", "small_images"):
        with pytest.raises(UsageError, match=r"the family 'vqa' has no rule"):
            edit(vqa(), text)


def test_differences_name_the_inputs():
    found = difference(vqa(), vqa(inputs=(replace(QUESTION, shape=Shape(1, (7,))),)))
    assert found.changed == {"": {"inputs": (("question 1x6 int64",), ("question 1x7 int64",))}}


def test_an_input_that_does_not_fit_where_it_is_used_is_said(one_stage):
    for other, text in (
        (Input("question", Shape(4, (3,))), "stage1: add needs branches of one shape, received 2x4x4, 4x3"),
        (Input("question", Shape(2, (4, 4))), ""),
    ):
        tree = replace(one_stage(add(a=IDENTITY, b=Use("question")), (2, 4, 4)), inputs=(other,))
        if text:
            with pytest.raises(UsageError, match=f"^{text}$"):
                tree.trace()
        else:
            assert tree.trace().stages["stage1"].field == Field.point(2)
    with pytest.raises(UnknownName, match=r"^unknown kept value at stage1: 'qestion'; nearest: question$"):
        replace(one_stage(Use("qestion"), (2, 4, 4)), inputs=(other,)).trace()


def test_fields_of_different_axes_are_not_joined():
    one, two = Field.point(1), Field.point(2)
    with pytest.raises(UsageError, match=r"^what has positions over 1 and 2 axes of one input cannot be joined$"):
        one.join(two)
    assert one.join(Field.point(2, "question")) == one
    assert Field.point(2, "question").join(one) == one
    assert Field.point(2, "a").join(Field.point(1, "b")) == Field.point(2, "a")


def test_a_correlation_says_what_it_needs(one_stage):
    make = lambda shape, **fields: replace(  # noqa: E731
        one_stage(Correlate("filters", **fields), (2, 5, 5)), inputs=(Input("filters", shape),)
    )
    assert make(Shape(6, (3, 3)), channels=3).trace().stages["stage1"].shape == Shape(3, (3, 3))
    assert make(Shape(2, (3, 1)), kernel=(3, 1)).trace().stages["stage1"].shape == Shape(1, (3, 5))
    for shape, fields, text in (
        (Shape(6, (3, 3)), {}, "stage1: correlate of 2x5x5 needs 'filters' of 2x3x3, which is 6x3x3"),
        (
            Shape(2, (7, 7)),
            {"kernel": 7},
            r"stage1: a correlation spans 7 positions and receives 5 \(padding 0 and 0\)",
        ),
        (Shape(2, (3, 3)), {"channels": 0}, "stage1: channels is 0, expected at least 1"),
        (Shape(2, (3, 3)), {"padding": -1}, "stage1: padding is -1, expected at least 0"),
    ):
        with pytest.raises(UsageError, match=f"^{text}$"):
            make(shape, **fields).trace()


@pytest.mark.parametrize(("kernel", "padding", "axes"), [(3, 1, 2), ((3, 2), (0, 1), 2), (2, 0, 1), (2, 1, 3)])
def test_a_correlation_is_a_convolution_of_each_sample(kernel, padding, axes, one_stage):
    sizes = kernel if isinstance(kernel, tuple) else (kernel,) * axes
    filters = Input("filters", Shape(6, sizes))
    tree = replace(one_stage(Correlate("filters", kernel, padding, 2), (3, *(5,) * axes)), inputs=(filters,))
    generator = torch.Generator().manual_seed(0)
    x, f = torch.randn(4, 3, *(5,) * axes, generator=generator), torch.randn(4, 6, *sizes, generator=generator)
    module = build(tree, seed=0)
    y = module({"images": x, "filters": f})
    convolve = getattr(torch.nn.functional, f"conv{axes}d")
    expected = torch.cat([convolve(x[i : i + 1], f[i].view(2, 3, *sizes), padding=padding) for i in range(4)])
    torch.testing.assert_close(y, expected)
    assert tuple(y.shape[1:]) == tuple(tree.trace().stages["stage1"].shape)
    torch.testing.assert_close(module.get_submodule("stage1")._shifted(x, f.view(4, 2, 3, *sizes)), expected)

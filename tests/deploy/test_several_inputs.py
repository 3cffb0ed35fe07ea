"""ONNX graphs of networks that read tokens or several inputs, that draw, and that give maps."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from convsmith.deploy import onnx as export
from convsmith.engines.graph import onnx_program
from convsmith.engines.inference import Inference
from convsmith.nets.modules.build import blank, build
from convsmith.nets.network import Network
from convsmith.nets.ops import Conv, Correlate, Embedding, Flatten, Linear, LocalContrastNorm, Recurrent, Unflatten
from convsmith.nets.shape import Input, Shape
from convsmith.nets.tree import MAIN, Keep, Use, cat, seq
from convsmith.nets.zoo import network

runtime = pytest.importorskip("onnxruntime")


def asking() -> Network:
    """An image, a question in tokens and a vector of numbers."""
    read = seq(
        use=Use("question"), embed=Embedding(9, 4), lstm=Recurrent(5, "lstm", 2, "last", tokens="question"),
        linear=Linear(18), kernel=Unflatten((3, 3)), keep=Keep("kernel"),
    )  # fmt: skip
    attend = seq(use=Use("map"), it=Correlate("kernel", 3, 1), flatten=Flatten())
    return Network(
        name="asking",
        family="asking",
        input=Shape(3, (6, 6)),
        inputs=(Input("question", Shape(1, (7,)), "int64"), Input("place", Shape(2))),
        stages=(("stage1", seq(conv=Conv(2, 3, padding=1), map=Keep("map"))), ("asked", read), ("attention", attend)),
        heads=((MAIN, seq(both=cat(a=seq(), b=Use("place")), linear=Linear(3))),),
    )


def local_norm() -> Network:
    stage = seq(conv=Conv(2, 3, bias=True), norm=LocalContrastNorm(5))
    return Network(
        name="local", family="local", input=Shape(1, (8, 8)), stages=(("stage1", stage),), heads=((MAIN, Flatten()),)
    )


def session_of(module: torch.nn.Module, shape: tuple[int, ...]):
    data = onnx_program(module, shape).model_proto.SerializeToString()
    return runtime.InferenceSession(data, providers=["CPUExecutionProvider"])


def test_further_inputs_follow_by_name_and_any_batch_runs():
    module = build(asking(), seed=0).eval()
    session = session_of(module, (3, 6, 6))
    assert [(i.name, i.type, i.shape[1:]) for i in session.get_inputs()] == [
        ("images", "tensor(float)", [3, 6, 6]), ("question", "tensor(int64)", [1, 7]), ("place", "tensor(float)", [2])
    ]  # fmt: skip
    subject = SimpleNamespace(network=module.tree, module=module)
    inputs = export._inputs(subject, np.random.default_rng(1).standard_normal((7, 3, 6, 6), np.float32))
    assert inputs["question"].dtype == np.int64
    assert (inputs["question"] == 0).any()  # padding too
    assert inputs["question"].max() == 8
    for batch in (1, 2, 7):
        found = export._compare(subject, session, inputs, batch)
        assert found.same_class == batch
        assert found.difference < 1e-5


def test_tokens_alone_are_one_input():
    stage = seq(keep=Keep("text"), embed=Embedding(9, 4), gru=Recurrent(5, "gru", 1, "last", tokens="text"))
    tree = Network(
        name="reader", family="reader", input=Shape(1, (6,)), input_name="tokens", input_dtype="int64",
        stages=(("stage1", stage),), heads=((MAIN, Linear(2)),),
    )  # fmt: skip
    module, tokens = build(tree, seed=0).eval(), torch.randint(0, 9, (5, 1, 6))
    (theirs,) = session_of(module, (1, 6)).run(None, {"images": tokens.numpy()})
    torch.testing.assert_close(torch.from_numpy(theirs), module(tokens))


@pytest.mark.parametrize("tree", [network("vae_mnist"), asking(), local_norm()], ids=lambda tree: tree.name)
def test_a_merged_network_keeps_what_is_no_weight(tree):
    module = build(tree, seed=0).eval()
    merged = Inference(module, tree, tuple(tree.input), channels_last=False).merged()
    x = blank(tree, 2, tree.input)
    torch.testing.assert_close(merged(x), module(x))


def test_a_network_that_draws_is_a_function_when_exported():
    module = build(network("vae_mnist"), seed=0).eval()
    session = session_of(module, (1, 28, 28))
    subject = SimpleNamespace(network=module.tree, module=module)
    found = export._compare(subject, session, {"images": np.ones((3, 1, 28, 28), np.float32)}, 3)
    assert found.same_class == 3
    assert found.difference < 1e-5

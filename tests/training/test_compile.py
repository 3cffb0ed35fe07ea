"""A compiled training step: when there is one, what it needs, that it computes what the plain one does."""

import shutil
from dataclasses import replace

import pytest
import torch

from convsmith.base import compiler
from convsmith.base.compiler import missing_compiler
from convsmith.base.errors import UsageError
from convsmith.data.preprocess import ImageInput
from convsmith.data.views import read_views
from convsmith.nets.modules.build import build
from convsmith.nets.zoo import network
from convsmith.recipes.recipe import Recipe
from convsmith.training.engine import COMPILE_FLOPS, resolve
from convsmith.training.options import EngineOptions
from convsmith.training.viewer import make_viewer
from convsmith.work import prepare as preparing
from convsmith.work.compiling import GRAPHS
from convsmith.work.prepare import prepare

needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")


@needs_compiler
def test_only_long_runs_are_compiled():
    long = 2 * COMPILE_FLOPS["cpu"]
    assert not resolve(EngineOptions()).compile
    assert not resolve(EngineOptions(), COMPILE_FLOPS["cpu"] / 2).compile
    assert resolve(EngineOptions(), long).compile
    assert resolve(EngineOptions(compile="on")).compile
    assert not resolve(EngineOptions(compile="off"), long).compile
    assert not resolve(EngineOptions(deterministic=True), long).compile


def test_without_a_compiler(monkeypatch):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(compiler.shutil, "which", lambda name: None)
    assert not resolve(EngineOptions(device="cpu"), 1e18).compile
    with pytest.raises(UsageError, match=r"engine\.compile: it needs a C\+\+ compiler.*g\+\+ is not here; install it"):
        resolve(EngineOptions(device="cpu", compile="on"))
    assert missing_compiler("cuda").startswith("it needs a C compiler even on a GPU, and gcc or clang is not here")
    monkeypatch.setenv("CXX", "icpx")
    assert missing_compiler("cpu").endswith("icpx is not here; install it, or name another in the environment's CXX")
    monkeypatch.setattr(compiler.shutil, "which", lambda name: name if name in ("clang", "icpx") else None)
    assert missing_compiler("cpu") == missing_compiler("cuda") == ""


def planned(monkeypatch, *edits: str, **fields: object):
    """A plan of a run that is long enough to be compiled."""
    monkeypatch.setattr(preparing, "training_flops", lambda *of: 1e18)
    monkeypatch.setattr(compiler.shutil, "which", lambda name: name)
    recipe = Recipe(network="resnet20_cifar", edits=edits).edit(data__source="digits", data__size=32)
    return prepare(recipe.edit(engine__device="cpu", **fields))


def test_more_sizes_than_graphs_are_not_compiled(monkeypatch):
    assert torch._dynamo.config.recompile_limit >= GRAPHS
    many, few = "progressive(0.5, multiple=2)", "progressive(0.5, multiple=4)"
    assert planned(monkeypatch, resize=few, engine__compile="on").engine.compile
    plan = planned(monkeypatch, resize=many)
    assert not plan.engine.compile
    why = "a compiled network is kept for 8 sizes of images at most, and resize has 9"
    assert f"the training steps are not compiled: {why}" in plan.notes
    with pytest.raises(UsageError) as caught:
        planned(monkeypatch, resize=many, engine__compile="on")
    assert str(caught.value) == f"engine.compile: {why}; take a larger `multiple` than 2, or --engine.compile off"
    assert not any("compiled" in note for note in planned(monkeypatch, resize=many, engine__compile="off").notes)


def test_stages_that_are_computed_again_are_not_compiled(monkeypatch):
    assert planned(monkeypatch).engine.compile
    plan = planned(monkeypatch, "recompute")
    assert not plan.engine.compile
    why = "torch.compile does not take stages that are computed again"
    assert f"the training steps are not compiled: {why}" in plan.notes
    with pytest.raises(UsageError) as caught:
        planned(monkeypatch, "recompute", engine__compile="on")
    assert str(caught.value) == f"engine.compile: {why}; leave out --edit recompute, or --engine.compile off"


def test_views_are_of_the_module_as_it_is():
    """Another graph for their sizes would cost minutes, and fused operations round otherwise."""
    engine = replace(resolve(EngineOptions(device="cpu", precision="fp32", threads=1)), compile=True)
    preprocess, images = ImageInput(mode="L", size=(32, 32), mean=(0.4,), std=(0.3,)), torch.zeros(2, 1, 32, 32).byte()
    module = build(network("lenet5"), seed=0)

    def compiler_called(graph, inputs):
        raise AssertionError("compiled")

    module.compile(backend=compiler_called)
    viewer = make_viewer(module, network("lenet5"), read_views("mirror"), preprocess, engine)
    assert viewer.outputs([images], 0).shape == (2, 10)
    with pytest.raises(Exception, match="compiled"):
        module(torch.zeros(2, 1, 32, 32))


@needs_compiler
def test_a_compiled_module_computes_the_same_and_evaluates_as_it_is():
    plain = resolve(EngineOptions(precision="fp32"))
    compiled = replace(plain, compile=True)
    images = torch.randn(8, 1, 32, 32)
    answers, gradients = [], []
    for engine in (plain, compiled):
        module = engine.place(build(network("lenet5"), seed=0))
        engine.accelerate(module)
        output = module.train()(images)
        output.square().sum().backward()
        answers.append(output.detach())
        gradients.append({name: p.grad for name, p in module.named_parameters()})
        assert next(name for name, _ in module.named_parameters()) == "stage1.conv.weight"
        with torch.no_grad(), engine.uncompiled():
            expected = plain.place(build(network("lenet5"), seed=0)).eval()(images)
            assert torch.equal(module.eval()(images), expected)
    torch.testing.assert_close(*answers, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-4)

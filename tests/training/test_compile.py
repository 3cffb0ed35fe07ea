"""A compiled training step: the losses of the plain one, exact resume, plain evaluation."""

import shutil
from dataclasses import replace

import pytest
import torch

from convsmith.base.errors import UsageError
from convsmith.nets.build import build
from convsmith.nets.zoo import network
from convsmith.training import engine as engines
from convsmith.training.engine import COMPILE_FLOPS, resolve
from convsmith.training.options import EngineOptions

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
    monkeypatch.setattr(engines.shutil, "which", lambda name: None)
    assert not resolve(EngineOptions(), 1e18).compile
    with pytest.raises(UsageError, match=r"needs a C\+\+ compiler.*g\+\+ is not here"):
        resolve(EngineOptions(compile="on"))


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

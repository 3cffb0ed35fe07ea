import contextlib
import dataclasses

import pytest
import torch

from convsmith.base.errors import UsageError
from convsmith.nets.modules.build import build
from convsmith.nets.zoo import network
from convsmith.training import engine
from convsmith.training.engine import machine_changes, resolve, resolve_here, suited, using
from convsmith.training.options import EngineOptions


def test_auto_takes_what_is_here():
    chosen = resolve(EngineOptions())
    assert chosen.device == ("cuda" if torch.cuda.is_available() else "cpu")
    assert chosen.threads == engine.cores() >= 1
    assert chosen.cpu == engine.cpu_model() != ""
    assert torch.__version__ in dataclasses.asdict(chosen).values()


@pytest.mark.parametrize(("flag", "precision"), [("avx2", "fp32"), ("avx512_bf16", "bf16"), ("amx_bf16", "bf16")])
def test_bf16_on_a_processor_only_where_it_has_units_for_it(flag, precision, monkeypatch):
    monkeypatch.setattr(engine, "cpu_flags", lambda: frozenset({flag}))
    assert resolve(EngineOptions(device="cpu")).precision == precision


def test_what_was_asked_for_is_kept():
    options = EngineOptions(device="cpu", precision="fp32", channels_last=False, deterministic=True, threads=1)
    chosen = resolve(options)
    assert (chosen.device, chosen.precision, chosen.threads, chosen.deterministic) == ("cpu", "fp32", 1, True)
    assert chosen.memory_format == torch.contiguous_format


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"device": "gpu"}, "engine.device: expected auto, cpu, cuda or cuda:N, received 'gpu'"),
        ({"device": "meta"}, "engine.device: expected auto, cpu, cuda or cuda:N, received 'meta'"),
        ({"device": ""}, "engine.device: expected auto, cpu, cuda or cuda:N, received ''"),
        ({"device": "cuda:99"}, r"engine.device: cuda:99 is not here; torch finds \d+ GPUs"),
        ({"device": "cpu", "precision": "fp16"}, "engine.precision: fp16 training needs a GPU; use bf16 or fp32"),
        ({"device": "cpu:0", "precision": "fp16"}, "engine.precision: fp16 training needs a GPU"),
    ],
)
def test_what_cannot_be_had_is_an_error(fields, message):
    with pytest.raises(UsageError, match=message):
        resolve(EngineOptions(**fields))


@pytest.mark.parametrize("threads", [0, -1])
def test_impossible_threads(threads):
    with pytest.raises(UsageError, match=f"engine.threads: expected a whole number from 1, received {threads}"):
        EngineOptions(threads=threads)


def test_a_numbered_processor_is_the_processor():
    assert resolve(EngineOptions(device="cpu:0", precision="fp32")).device == "cpu"


def test_threads_and_determinism_are_put_back():
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    chosen = resolve(EngineOptions(device="cpu", threads=before[0] + 1, deterministic=True))
    with contextlib.suppress(KeyError), using(chosen):
        assert torch.get_num_threads() == before[0] + 1
        assert torch.are_deterministic_algorithms_enabled()
        raise KeyError
    assert before == (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled())


def test_machine_changes_name_what_differs():
    now = resolve(EngineOptions(device="cpu", precision="fp32"))
    assert machine_changes(now, now) == []
    other = dataclasses.replace(now, cpu="Z80", threads=engine.cores() + 1)
    assert machine_changes(other, now) == [
        f"cpu was 'Z80', is {now.cpu!r}",
        f"threads were {engine.cores() + 1}, this machine has {engine.cores()} cores",
    ]


def test_what_cannot_be_had_here_is_what_this_machine_has(monkeypatch):
    now = dataclasses.replace(resolve(EngineOptions(device="cpu", precision="fp32", threads=1)), processes=2)
    monkeypatch.setattr(engine, "missing_compiler", lambda device: f"no compiler for {device}")
    there = dataclasses.replace(now, device="cuda", precision="fp16", threads=8, compile=True, cpu="Z80", processes=2)
    assert suited(there, now) == dataclasses.replace(now, cpu="Z80")
    assert machine_changes(there, dataclasses.replace(now, cpu="Z80"))[-1] == "it was compiled: no compiler for cpu"
    # A processor is everywhere: a run that began on one stays there.
    gpu = dataclasses.replace(now, device="cuda", precision="bf16")
    assert suited(now, gpu) == now
    # The second GPU of a machine that has one is the first of it, with the format that it had.
    second = dataclasses.replace(gpu, device="cuda:1", precision="fp16")
    assert suited(second, gpu) == dataclasses.replace(gpu, precision="fp16")
    alone = dataclasses.replace(now, processes=1, threads=2)
    assert suited(alone, now) == now
    monkeypatch.setattr(engine, "missing_compiler", lambda device: "")
    assert suited(there, now).compile
    assert machine_changes(dataclasses.replace(now, compile=True), now) == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_what_was_named_and_is_not_here_gives_way_on_a_resume(monkeypatch):
    monkeypatch.setattr(engine, "missing_compiler", lambda device: f"no compiler for {device}")
    for named in ({"device": "cuda"}, {"precision": "fp16"}, {"compile": "on"}):
        with pytest.raises(UsageError):
            resolve(EngineOptions(threads=1, **named))
        assert resolve_here(EngineOptions(threads=1, **named)) == resolve(EngineOptions(threads=1))
    kept = EngineOptions(device="cpu", precision="fp32", threads=1)
    assert resolve_here(kept) == resolve(kept)


def test_the_generator_stands_where_it_stood():
    chosen = resolve(EngineOptions(device="cpu", precision="fp32"))
    before = torch.get_rng_state()
    with chosen.generator_kept():
        torch.rand(3)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_placed_module_can_be_placed_again_so_that_nothing_is_written_over():
    here, module = resolve(EngineOptions(device="cpu")), build(network("vgg11_bn_cifar"), seed=0)
    relus = [layer for layer in module.modules() if isinstance(layer, torch.nn.ReLU)]
    assert len(relus) == 8
    for in_place in (True, False, True):
        assert here.place(module, in_place) is module
        assert [layer.inplace for layer in relus] == [in_place] * len(relus)

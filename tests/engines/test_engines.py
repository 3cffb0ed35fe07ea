"""Every engine says what the network itself says, or is refused; few pictures start nothing."""

import json
import shutil
from dataclasses import asdict, replace
from importlib import import_module
from importlib.util import find_spec

import pytest
import torch
from torch import nn

import convsmith as cs
from convsmith.base import compiler
from convsmith.base.errors import CheckFailed, UsageError
from convsmith.base.remembered import recall, remember
from convsmith.base.speed import ratio
from convsmith.base.user_code import give
from convsmith.engines import choose, names, start
from convsmith.engines.check import agreement
from convsmith.engines.choose import Measured, automatic, named, quickest
from convsmith.engines.inference import Inference, untrained
from convsmith.engines.measure import filled
from convsmith.engines.names import ENGINES, Kind, read_engines
from convsmith.engines.runner import Refused, Runner
from convsmith.engines.start import PLAIN, launch, plain, reference
from convsmith.nets.modules.build import build
from convsmith.nets.source import Foreign, open_network
from convsmith.nets.zoo import edit, network
from convsmith.runs.directory import RunDirectory
from convsmith.training.engine import resolve
from convsmith.training.options import EngineOptions


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CONVSMITH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def engine():
    return resolve(EngineOptions(device="cpu", precision="fp32"))


def images_for(tree, count=5):
    return torch.randn(count, *tree.input, generator=torch.Generator().manual_seed(7))


@pytest.fixture(scope="module")
def model():
    tree = edit(edit(network("mobilenet_v2_035"), "size(32,32)"), "classes(10)")
    return untrained(tree, images_for(tree, 8))


@pytest.fixture(scope="module")
def images(model):
    return images_for(model.network)


# ------------------------------------------------------------------------------------------------- the network


@pytest.mark.parametrize("name", ["resnet20_cifar", "repvgg_a0", "densenet121"])
def test_merging_keeps_the_outputs_and_the_module(name):
    tree = network(name)
    tree = tree if tree.input.spatial == (32, 32) else edit(tree, "size(32,32)")
    model = untrained(tree, images_for(tree))
    before = {key: value.clone() for key, value in model.module.state_dict().items()}
    merged = model.merged()
    with torch.no_grad():
        expected, found = model.module(images_for(tree)), merged(images_for(tree))
    assert expected.std() > 1e-3
    assert (found - expected).abs().max() <= 2e-4 * expected.abs().max()
    count = {kind: sum(isinstance(m, nn.BatchNorm2d) for m in kind.modules()) for kind in (model.module, merged)}
    # DenseNet normalizes what it concatenates, which no convolution computes.
    assert count[merged] < count[model.module]
    assert name == "densenet121" or count[merged] == 0
    with torch.no_grad():
        for parameter in merged.parameters():
            parameter.zero_()
    after = model.module.state_dict()
    assert all(torch.equal(value, after[key]) for key, value in before.items())


def test_a_module_that_is_no_tree_is_copied():
    module = nn.Sequential(nn.Flatten(), nn.Linear(4, 2)).eval()
    model = Inference(module, Foreign("own.py:make", {}), (1, 2, 2), channels_last=False)
    merged = model.merged()
    assert merged is not module
    assert torch.equal(merged(torch.ones(1, 1, 2, 2)), module(torch.ones(1, 1, 2, 2)))
    assert not model.fast_layout


def test_a_network_without_weights_is_a_function_of_the_seed():
    tree = network("resnet20_cifar")
    state = torch.get_rng_state()
    one, two = (untrained(tree, images_for(tree, 4)) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    pairs = zip(one.module.state_dict().values(), two.module.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert not one.module.training
    first = next(m for m in one.module.modules() if isinstance(m, nn.BatchNorm2d))
    conv = next(m for m in one.module.modules() if isinstance(m, nn.Conv2d))
    seen = conv(images_for(tree, 4)).detach()
    torch.testing.assert_close(first.running_mean, seen.mean((0, 2, 3)), rtol=1e-3, atol=1e-4)
    assert one.fast_layout
    assert not one.channels_last


def test_probabilities_are_those_of_the_outputs_over_the_temperature(model):
    outputs = torch.tensor([[2.0, 0.0]])
    assert replace(model, temperature=2.0).probabilities(outputs)[0, 0] == pytest.approx(0.731, abs=1e-3)
    assert replace(model, multilabel=True).probabilities(outputs)[0].tolist() == pytest.approx([0.881, 0.5], abs=1e-3)


# -------------------------------------------------------------------------------------------------- the engines


@pytest.mark.parametrize("name", ENGINES)
def test_each_engine_agrees_for_any_number_of_images(name, model, images, engine):
    if names.problem(name, "cpu"):
        pytest.skip(names.problem(name, "cpu"))
    known = reference(model, engine, 2, images)
    runner, found = start.start(name, model, engine, 2, known)
    assert (found.images, found.same_class, found.objection) == (5, 5, "")
    assert found.difference <= 1e-4
    assert (runner.engine, runner.precision, runner.batch) == (name, "fp32", 2)
    for count in (1, 2, 5):
        outputs = runner(images[:count])
        assert (outputs.dtype, outputs.device.type) == (torch.float32, "cpu")
        torch.testing.assert_close(outputs, known.outputs[:count], rtol=1e-3, atol=1e-4)


def test_bf16_is_taken_by_the_engines_that_have_it(model, images, engine):
    known = reference(model, engine, 2, images)
    assert launch("eager", model, replace(engine, precision="bf16"), 2, known)[0].precision == "fp32"
    if find_spec("openvino") and find_spec("onnxscript"):
        runner, found = launch("openvino", model, replace(engine, precision="bf16"), 2, known)
        assert (runner.precision, found.tolerance) == ("bf16", 2e-2)


def test_a_fixed_batch_is_filled_up():
    seen = []

    def compute(images):
        seen.append(images[:, 0].tolist())
        return 2 * images

    runner = Runner("own", "fp32", 3, fixed=True, compute=compute)
    assert runner(torch.arange(4.0)[:, None])[:, 0].tolist() == [0, 2, 4, 6]
    assert seen == [[0, 1, 2], [3, 3, 3]]
    seen.clear()
    assert replace(runner, fixed=False)(torch.arange(4.0)[:, None])[:, 0].tolist() == [0, 2, 4, 6]
    assert seen == [[0, 1, 2], [3]]


def test_agreement(model):
    expected = torch.tensor([[2.0, 0.0], [0.0, 3.0]])
    same = agreement(model, expected, expected + 1, "fp32")
    assert (same.same_class, same.objection) == (2, "")
    assert same.difference == pytest.approx(0, abs=1e-7)
    off = agreement(model, expected, expected + torch.tensor([[0.1, 0.0], [0.0, 0.0]]), "fp32")
    assert off.difference == pytest.approx(0.01019, abs=1e-4)
    assert off.objection == "a value is off by 1.0e-02 (at most 1e-04)"
    assert agreement(model, expected, expected + torch.tensor([[0.1, 0.0], [0.0, 0.0]]), "bf16").objection == ""
    tie = torch.tensor([[0.0, 1e-6], [0.0, 3.0]])
    assert agreement(model, tie, tie.flip(1), "bf16").objection.startswith("a value is off by")
    other = agreement(model, torch.tensor([[1e-6, 0.0]]), torch.tensor([[0.0, 1e-6]]), "fp32")
    assert other.objection == "1 of 1 image gets another class"
    assert "nan" in agreement(model, expected, expected * float("nan"), "fp32").objection
    assert agreement(model, expected, expected[:, :1], "fp32").difference == float("inf")


def wrong(model, engine, batch):
    return lambda images: torch.arange(10.0).flip(0).expand(len(images), 10)


def failing(model, engine, batch):
    raise RuntimeError("no such\n operator")


def no_program(model, engine, batch):
    raise CheckFailed("torch gave no ONNX program")


def too_large(model, engine, batch):
    raise RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory")


@pytest.mark.parametrize(
    ("begin", "message"),
    [
        (wrong, r"engine eager: refused on 5 images: a value is off by .* \(at most 1e-04\)"),
        (failing, r"engine eager: it cannot run mobilenet_v2_035 \(RuntimeError: no such operator\)"),
        (no_program, r"engine eager: it cannot run mobilenet_v2_035 \(CheckFailed: torch gave no ONNX program\)"),
        (too_large, r"engine eager: 2 images at a time take more memory than there is"),
    ],
)
def test_what_differs_or_fails_is_refused(begin, message, model, images, engine, monkeypatch):
    monkeypatch.setattr(import_module("convsmith.engines.eager"), "eager", begin)
    with pytest.raises(Refused, match=message):
        start.start("eager", model, engine, 2, reference(model, engine, 2, images))
    with pytest.raises(Refused, match=message):
        named("eager", model, engine, 2, lambda: images, print)


def test_engines_that_cannot_be_had(monkeypatch):
    assert names.problem("onnxruntime", "cuda").endswith("the device is cuda; give --device cpu")
    monkeypatch.setattr(compiler.shutil, "which", lambda name: None)
    with pytest.raises(
        UsageError, match=r"engine compiled: it needs a C\+\+ compiler on the processor, and .* install"
    ):
        names.check_engine("compiled", "cpu")
    monkeypatch.setattr(names, "find_spec", lambda name: None)
    assert names.available("cpu") == ["eager"]
    assert names.available("cuda") == ["eager"]
    monkeypatch.setattr(compiler.shutil, "which", lambda name: name)
    assert names.available("cpu") == names.available("cuda") == ["eager", "compiled"]
    with pytest.raises(UsageError, match=r"engine openvino: this needs openvino, .*pip install -e '\.\[deploy\]'"):
        names.check_engine("openvino")
    for text, message in (("", "expected names such as"), ("eager,eager", "named twice"), ("egaer", "nearest: eager")):
        with pytest.raises(UsageError, match=message):
            read_engines(text)
    assert read_engines("compiled, eager") == ("compiled", "eager")


# --------------------------------------------------------------------------------------------------- the choice


def test_the_quickest_counts_its_start():
    rows = [Measured(PLAIN, 1.0, 0.0), Measured("slow", 0.5, 10.0), Measured("fast", 0.1, 100.0)]
    order = {n: [row.engine for row in quickest(rows, n)] for n in (10, 40, 200, 1000)}
    assert order == {10: [PLAIN], 40: ["slow", PLAIN], 200: ["slow", "fast", PLAIN], 1000: ["fast", "slow", PLAIN]}
    assert [row.engine for row in quickest([rows[0], replace(rows[2], why="refused")], 1000)] == [PLAIN]
    # A gain below 5% is noise.
    assert [row.engine for row in quickest([rows[0], Measured("near", 0.97, 0.0)], 1000)] == [PLAIN]


def test_ratios_are_of_rounds_and_images_are_repeated():
    assert ratio([1.0, 4.0, 3.0], [1.0, 1.0, 1.5]) == 2.0
    assert filled(torch.arange(3), 7).tolist() == [0, 1, 2, 0, 1, 2, 0]


def no_images():
    raise AssertionError("nothing is to be tried")


def test_few_pictures_start_nothing(model, engine):
    runner = automatic(model, engine, 4, 4, no_images, no_images)
    assert (runner.engine, runner.start_seconds) == (PLAIN, 0.0)


@pytest.fixture
def always(monkeypatch):
    """One engine, which any work is worth."""
    monkeypatch.setattr(choose, "available", lambda device: ["eager"])
    monkeypatch.setattr(choose, "ENGINES", {"eager": Kind("", worth=0.0)})


def test_a_trial_is_remembered(always, model, images, engine, cache):
    said = []
    automatic(model, engine, 2, 1000, lambda: images, said.append)
    assert said[0] == "trying engine eager"
    (rows,) = json.loads((cache / choose.FILE).read_text()).values()
    assert [row["engine"] for row in rows] == [PLAIN, "eager"]
    assert all(row["seconds"] > 0 and not row["why"] for row in rows)
    again = []
    runner = automatic(model, engine, 2, 1000, lambda: images, again.append)
    assert not any("trying" in text for text in again)
    torch.testing.assert_close(runner(images), plain(model, engine, 2)(images), rtol=1e-3, atol=1e-4)
    # Other shapes, threads or batches are other trials; what cannot be read is found again.
    automatic(model, replace(engine, threads=engine.threads + 1), 2, 1000, lambda: images, said.append)
    assert len(json.loads((cache / choose.FILE).read_text())) == 2
    (cache / choose.FILE).write_text("{")
    automatic(model, engine, 2, 1000, lambda: images, again.append)
    assert "trying engine eager" in again


def test_what_was_remembered_is_checked_again_before_it_is_used(always, model, images, engine, monkeypatch):
    rows = [Measured(PLAIN, 1.0, 0.0), Measured("eager", 0.1, 1.0)]
    remember(choose.FILE, choose._key(model, engine, 2), [asdict(row) for row in rows])
    said = []
    assert automatic(model, engine, 2, 1000, lambda: images, said.append).engine == "eager"
    assert said == ["engine: eager in fp32, 10.0 times as fast as the network as it is"]
    monkeypatch.setattr(import_module("convsmith.engines.eager"), "eager", wrong)
    assert automatic(model, engine, 2, 1000, lambda: images, said.append).engine == PLAIN
    assert said[1].startswith("engine eager: refused on 5 images")
    assert said[2] == "engine: the network as it is; no other would finish sooner"


@pytest.mark.parametrize("begin", [failing, no_program])
def test_an_engine_that_cannot_run_is_remembered_with_its_reason(
    begin, always, model, images, engine, monkeypatch, cache
):
    monkeypatch.setattr(import_module("convsmith.engines.eager"), "eager", begin)
    assert automatic(model, engine, 2, 1000, lambda: images, print).engine == PLAIN
    (rows,) = json.loads((cache / choose.FILE).read_text()).values()
    assert rows[1]["why"].startswith("engine eager: it cannot run")
    said = []
    assert automatic(model, engine, 2, 1000, lambda: images, said.append).engine == PLAIN
    assert said == ["engine: the network as it is; no other would finish sooner"]


def test_other_weights_may_agree_where_these_do_not(always, model, images, engine, monkeypatch, cache):
    """The engine is timed all the same, and not started a second time."""
    begun = []

    def begin(model, engine, batch):
        begun.append(batch)
        return wrong(model, engine, batch)

    with monkeypatch.context() as patch:
        patch.setattr(import_module("convsmith.engines.eager"), "eager", begin)
        said = []
        assert automatic(model, engine, 2, 1000, lambda: images, said.append).engine == PLAIN
        assert said[1].startswith("engine eager: refused on 5 images: a value is off by")
        assert begun == [2]
    (rows,) = json.loads((cache / choose.FILE).read_text()).values()
    assert [(row["engine"], row["why"]) for row in rows] == [(PLAIN, ""), ("eager", "")]
    assert rows[1]["seconds"] > 0


def test_what_did_not_fit_into_memory_is_tried_again(always, model, images, engine, monkeypatch, cache):
    with monkeypatch.context() as patch:
        patch.setattr(import_module("convsmith.engines.eager"), "eager", too_large)
        assert automatic(model, engine, 2, 1000, lambda: images, print).engine == PLAIN
    (rows,) = json.loads((cache / choose.FILE).read_text()).values()
    assert [row["engine"] for row in rows] == [PLAIN]
    said = []
    automatic(model, engine, 2, 1000, lambda: images, said.append)
    assert said[0] == "trying engine eager"


def test_a_trial_is_of_one_network_of_a_users_own(model, engine, modules):
    """The file, and what its function was given."""
    give(f"{modules}:make")
    one = replace(model, network=open_network(f"{modules}:make", classes=10, channels=3))
    nine = replace(model, network=open_network(f"{modules}:make", classes=9, channels=3))
    modules.write_text(modules.read_text() + "# another\n")
    give(f"{modules}:make")
    other = replace(model, network=open_network(f"{modules}:make", classes=10, channels=3))
    assert len({choose._key(each, engine, 2) for each in (one, nine, other)}) == 3


def test_memory_that_cannot_be_written_is_no_error(cache):
    cache.write_text("a file where the folder would be")
    remember("some.json", "key", 1)
    assert recall("some.json", "key") is None


# ------------------------------------------------------------------------------------------------- predictions


def test_predictions_by_an_engine_are_those_of_the_network(command, photo_run):
    run, folder = photo_run
    expected = command("predict", run, folder, "--json")
    found = command("predict", run, folder, "--json", "--engine", "eager", "--precision", "fp32")
    assert (expected.code, found.code) == (0, 0)
    assert expected.err == ""
    assert "engine eager in fp32: probabilities within " in found.err
    assert " on 6 images\n" in found.err
    for ours, theirs in zip(found.json, expected.json, strict=True):
        assert ours["top"][0]["label"] == theirs["top"][0]["label"]
        shares = [guess["probability"] for guess in theirs["top"]]
        assert [guess["probability"] for guess in ours["top"]] == pytest.approx(shares, abs=1e-5)
    assert command("predict", run, folder, "--json", "--engine", "eager", "--quiet").err == ""
    in_python = cs.load(run).predict(folder, engine="eager")
    assert [p.label for p in in_python] == [row["top"][0]["label"] for row in found.json]


def test_without_the_validation_images_the_pictures_are_compared(command, photo_run, tmp_path):
    copy, pictures = tmp_path / "run", tmp_path / "pictures"
    shutil.copytree(photo_run[0], copy)
    shutil.copytree(photo_run[1], pictures)
    recipe = json.loads((copy / "recipe.json").read_text())
    recipe["recipe"]["data"]["source"] = str(tmp_path / "gone")
    RunDirectory(copy).write_record("recipe", recipe)
    answer = command("predict", copy, pictures, "--engine", "eager")
    assert answer.code == 0
    assert "the validation images cannot be read (" in answer.err
    assert " on 32 images\n" in answer.err
    broken = tmp_path / "broken.png"
    broken.write_text("no image")
    answer = command("predict", copy, broken, "--engine", "eager", "--quiet")
    assert answer.code == 2
    assert "of 1 picture none can be read, so no engine can be checked" in answer.err


def test_wrong_engines(refused, photo_run, monkeypatch):
    run, file = photo_run[0], next(photo_run[1].rglob("*.png"))
    assert refused("predict", run, file, "--engine", "egaer").startswith("unknown engine 'egaer'; nearest: eager")
    message = refused("predict", run, file, "--engine", "eager", "--views", "mirror")
    assert message == "engine eager: views are seen by the network as it is; leave --engine or --views out"
    monkeypatch.setattr(names, "find_spec", lambda name: None if name == "openvino" else find_spec(name))
    message = refused("predict", run, file, "--engine", "openvino")
    assert message.startswith("engine openvino: this needs openvino, which is not installed; mend with: pip install")
    with pytest.raises(UsageError, match="unknown engine 'nonsense'"):
        cs.load(run).predict(file, engine="nonsense")


def test_auto_does_not_offer_what_is_missing(monkeypatch):
    monkeypatch.setattr(names, "find_spec", lambda name: None if name == "onnxscript" else find_spec(name))
    assert not {"onnxruntime", "openvino"} & set(names.available("cpu"))


def test_the_module_that_trained_stays_as_it_was(model, images, engine):
    tree = model.network
    fresh = build(tree, seed=3).eval()
    state = {key: value.clone() for key, value in fresh.state_dict().items()}
    kept = Inference(fresh, tree, model.shape, channels_last=False)
    launch("eager", kept, engine, 2, reference(kept, engine, 2, images))
    assert all(torch.equal(value, fresh.state_dict()[key]) for key, value in state.items())

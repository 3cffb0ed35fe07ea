"""`convsmith bench`: the table, JSON, interrupts and what is refused. No speeds are asserted."""

import re
from dataclasses import replace
from importlib import import_module

import pytest

from convsmith.engines import bench as benching
from convsmith.training.engine import resolve
from convsmith.training.options import EngineOptions

SMALL = ("--engines", "eager", "--rounds", "2", "--batch", "3")


def test_a_network(command):
    answer = command("bench", "lenet5", *SMALL, "--precision", "fp32", "--json")
    assert answer.code == 0
    found = answer.json
    assert (found["batch"], found["rounds"], found["interrupted"]) == (3, 2, False)
    as_it_is, eager = found["rows"]
    assert (as_it_is["engine"], as_it_is["times"], as_it_is["difference"]) == ("as it is", 1.0, None)
    assert (eager["engine"], eager["precision"], eager["why"]) == ("eager", "fp32", "")
    assert 0 <= eager["difference"] <= 1e-4
    for row in found["rows"]:
        assert 0 < row["slowest"] <= row["images_per_second"] <= row["fastest"]
        assert row["memory"] is None or row["memory"] >= 0
    assert "starting eager\n" in answer.err
    assert "round 2 of 2\n" in answer.err


def test_the_table(command):
    answer = command("bench", "resnet20_cifar", *SMALL, "--size", "16", "--quiet")
    assert (answer.code, answer.err) == (0, "")
    first, _, header, _, as_it_is, eager = answer.out.splitlines()
    assert re.match(r"resnet20_cifar, 3 images of 3x16x16 at a time, .*; median of 2 rounds", first)
    assert header.split() == ["engine", "precision", "images/s", "rounds", "times", "start", "difference", "memory"]
    assert re.match(r"as it is +fp32 +[\d,.]+ +[\d,.]+-[\d,.]+ +1.00 +0.0 s +-", as_it_is)
    assert re.match(r"eager +fp32 +[\d,.]+ +[\d,.]+-[\d,.]+ +\d+\.\d\d +\d+\.\d s +\de-\d\d", eager)


def test_a_run_on_its_validation_images(command, photo_run):
    found = command("bench", photo_run[0], *SMALL, "--json").json
    assert [row["engine"] for row in found["rows"]] == ["as it is", "eager"]
    assert found["rows"][1]["difference"] <= 1e-4


def test_an_engine_that_fails_says_why_and_the_others_are_timed(command, monkeypatch):
    def fail(model, engine, batch):
        raise RuntimeError("no such operator")

    monkeypatch.setattr(import_module("convsmith.engines.eager"), "eager", fail)
    answer = command("bench", "lenet5", *SMALL)
    assert answer.code == 0
    assert answer.out.splitlines()[-1].endswith("it cannot run lenet5 (RuntimeError: no such operator)")
    assert command("bench", "lenet5", *SMALL, "--json").json["rows"][1]["images_per_second"] is None


@pytest.mark.parametrize("done", [0, 1])
def test_an_interrupt_keeps_the_rounds_that_are_done(done, command, monkeypatch):
    def rounds(runners, images, count):
        for _ in range(done):
            yield [0.5] * len(runners)
        raise KeyboardInterrupt

    monkeypatch.setattr(benching, "rounds", rounds)
    answer = command("bench", "lenet5", *SMALL)
    assert answer.code == 130
    if done:
        assert "median of 1 rounds" in answer.out
        assert re.search(r"^as it is +fp32 +6.0 +6.0-6.0 +1.00", answer.out, re.MULTILINE)
    else:
        assert (answer.out, answer.err.splitlines()[-1]) == ("", "convsmith: stopped")


def test_training_engines(command, monkeypatch):
    """The trial itself is tested with autotune; here a finished one is printed."""
    autotune = import_module("convsmith.work.autotune")
    seen = []

    def tune(plan, say, *, fresh):
        seen.append((plan.recipe.network, plan.recipe.batch, plan.engine.threads, fresh))
        engine = resolve(EngineOptions(device="cpu", precision="fp32"))
        trials = (
            autotune.Trial(engine, 123.4, 0.0, 1.0, True),
            autotune.Trial(replace(engine, threads=engine.threads + 1), 99.0, 0.5, 2.0, False, "too far"),
            autotune.Trial(replace(engine, compile=True), None, None, None, False, "it fails (RuntimeError: no)"),
        )
        return autotune.Tuning(engine, trials)

    monkeypatch.setattr(autotune, "tune", tune)
    answer = command("bench", "lenet5", "--train", "--batch", "16", "--threads", "1", "--precision", "fp32")
    assert answer.code == 0
    assert seen == [("lenet5", 16, 1, True)]
    assert re.search(r"^fp32, .* +123.4 +.* +0.00% +taken", answer.out, re.MULTILINE)
    assert re.search(r"^fp32, .* +99.0 +2.0 s +50.00% +too far", answer.out, re.MULTILINE)
    assert re.search(r"^fp32, .* compiled +- +- +- +it fails \(RuntimeError: no\)", answer.out, re.MULTILINE)
    assert command("bench", "lenet5", "--train", "--json").json["trials"][0]["images_per_second"] == 123.4


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("resnet500",), "unknown network 'resnet500'; nearest: resnet50"),
        (("lenet5", "--batch", "0"), "bench: --batch must be at least 1, received 0"),
        (("lenet5", "--rounds", "-1"), "bench: --rounds must be at least 1, received -1"),
        (("lenet5", "--engines", "eagre"), "unknown engine 'eagre'; nearest: eager"),
        (("lenet5", "--data", "digits"), "bench: --data is for --train; "),
        (
            ("lenet5", "--train", "--rounds", "3"),
            "bench: --rounds are turns of engines that run a network; --train takes",
        ),
        (("lenet5", "--train", "--engines", "eager"), "bench: --engines are those that run a network; "),
        (
            ("torchvision:resnet18",),
            "torchvision:resnet18 is not a convsmith network; it was imported from torchvision, so its engines are "
            "compared with trained weights; train it (--quick will do) and give the run",
        ),
        (("nowhere/run",), "unknown network 'nowhere/run'"),
    ],
)
def test_what_cannot_be(words, message, refused):
    assert refused("bench", *words).startswith(message)


def test_a_run_has_its_size(refused, photo_run):
    assert (
        refused("bench", photo_run[0], "--size", "64")
        == "bench: --size is for a network; a run's images have their size"
    )

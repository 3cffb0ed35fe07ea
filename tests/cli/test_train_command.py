"""`convsmith train`: what works, what it prints, and the one line for each mistake with nothing left behind."""

import json
import math
import re
import signal
import time

import pytest

from convsmith.runs.directory import open_run

QUICK = ("--quick", "--batch", "8", "--quiet", "--json", "--precision", "fp32", "--engine.threads", "1")


@pytest.mark.parametrize(
    ("words", "network", "recipe"),
    [
        ("", "lenet5", "digits"),
        ("lenet5 --data {folder}", "lenet5", "lenet5-pictures"),
        ("--data {folder}", "resnet18", "photos"),
        ("{folder}/ --network resnet20_cifar", "resnet20_cifar", "photos"),
        ("resnet20_cifar --data {folder} --epochs 1", "resnet20_cifar", "resnet20_cifar-pictures"),
        ("{modules}:make --data {folder}", "modules.py:make", "modules-py-pictures"),
        ("{trees}:dropping --data {folder}", "dropping", "trees-py-dropping-pictures"),
        ("torchvision:resnet18", "torchvision:resnet18", "torchvision-resnet18-digits"),
    ],
    ids=["nothing", "network", "data", "folder", "both", "module", "tree", "torchvision"],
)
def test_what_can_be_named(words, network, recipe, command, shared_pictures, trees, modules, here):
    named = words.format(folder=shared_pictures, modules=modules, trees=trees)
    answer = command("train", *named.split(), *QUICK)
    assert answer.code == 0, answer.err
    assert answer.err == ""
    result = answer.json
    assert {"run", "epochs", "seconds", "images_per_second", "metrics"} <= result.keys()
    assert {"accuracy", "loss", "count"} <= result["metrics"]["test"].keys() & result["metrics"]["val"].keys()
    (path,) = (here / "runs").iterdir()
    assert result["run"] == f"runs/{path.name}"
    assert re.fullmatch(rf"\d{{4}}-\d\d-\d\d-{recipe}-[0-9a-f]{{6}}", path.name)
    run = open_run(path)
    record = run.record("network")
    assert record.get("name", record.get("source", "").rpartition("/")[2]) == network
    assert run.status().state == "finished"
    report = (path / "report.html").read_text()
    assert not re.search(r"""(?:src|href)\s*=\s*["'](?!data:|#)""", report)
    assert list(here.rglob(".*")) == []


def test_what_it_prints_for_people(command, shared_pictures, trees, here, monkeypatch):
    from convsmith.training import progress

    monkeypatch.setattr(progress, "PLAIN_SECONDS", math.inf)  # no line within an epoch, however slow the machine is
    words = ("train", f"{trees}:resnet8", "--data", shared_pictures, "--epochs", 2, "--batch", 8, "--out", "my")
    answer = command(*words)
    assert answer.code == 0
    assert re.search(r"^validation accuracy  +\d+\.\d\d%  \(\d of 6 images; 95% interval ", answer.out, re.MULTILINE)
    assert re.search(r"^test accuracy +\d+\.\d\d%", answer.out, re.MULTILINE)
    assert "trained 2 epochs in " in answer.out
    assert "\nthe test images had no part in any choice; " in answer.out
    assert "the images of pictures are 12x12 pixels\n" in answer.out
    assert "next    convsmith predict my IMAGE...\n" in answer.out
    assert answer.err.startswith(
        "data pictures: folder of class folders: 3 classes (bent, flat, round), 60 images\nrun my\nepoch   1/2  "
    )
    assert answer.err.count("\n") == 4
    rows = open_run("my").metrics()
    assert f"val loss {rows[1]['val_loss']:.4f}" in answer.err


def test_json_only_changes_stdout_and_quiet_only_stderr(command, here):
    loud = command("train", "--quick", "--json", "--out", "loud")
    assert loud.err != ""
    quiet = command("train", "--quick", "--json", "--quiet", "--out", "quiet")
    assert quiet.err == ""
    times = {"run", "seconds", "images_per_second"}
    assert {k: v for k, v in loud.json.items() if k not in times} == {
        k: v for k, v in quiet.json.items() if k not in times
    }


def test_options_reach_the_recipe_in_any_order_and_form(command, here, shared_pictures, trees):
    words = (
        "--schedule.at", "50%,3ep", "--schedule.kind=step", "--label-smoothing", "0.1", "--lr=0.25", "--workers", 0,
        "--seed", 7, "--optimizer.weight-decay", "-0", "--on-bad", "skip",
        "--augment", "crop(2, mode='reflect'),flip(0.25)",
        "--optimizer.rules", "rule('norm|bias', weight_decay=0)", "--data.split", "70/20/10", "--edit", "drop_path=0.1",
    )  # fmt: skip
    answer = command("train", f"{trees}:resnet8", "--data", shared_pictures, *words, *QUICK, "--out", "run")
    assert answer.code == 0, answer.err
    recipe = open_run("run").record("recipe")["recipe"]
    assert recipe["schedule"]["kind"] == "step"
    assert recipe["schedule"]["at"] == ["50%", "3ep"]
    assert recipe["label_smoothing"] == 0.1
    assert (recipe["optimizer"]["lr"], recipe["optimizer"]["weight_decay"], recipe["seed"]) == (0.25, 0, 7)
    assert recipe["augment"][0] == {"kind": "crop", "padding": 2, "mode": "reflect"}
    assert recipe["optimizer"]["rules"][0]["pattern"] == "norm|bias"
    assert recipe["edits"] == ["drop_path=0.1"]
    assert answer.json["metrics"]["val"]["count"] == 12


def test_a_run_gives_its_recipe_again_and_options_change_it(command, photo_run, here):
    answer = command("train", photo_run[0], "--epochs", 1, "--seed", 5, "--quiet", "--json", "--trust-code")
    assert answer.code == 0
    recipe = open_run(answer.json["run"]).record("recipe")["recipe"]
    before = json.loads((photo_run[0] / "recipe.json").read_text())["recipe"]
    assert recipe == before | {"length": "1ep", "seed": 5}


def test_a_recipes_file(command, here, shared_pictures, trees):
    command("train", f"{trees}:resnet8", "--data", shared_pictures, *QUICK, "--out", "first")
    (here / "mine.json").write_text(json.dumps(open_run("first").record("recipe")["recipe"]))
    answer = command("train", "mine.json", "--quiet", "--json", "--out", "second", "--trust-code")
    assert answer.code == 0
    assert answer.json["metrics"] == open_run("first").record("result")["metrics"]


def test_dry_run_says_what_it_takes_and_leaves_nothing(command, here, shared_pictures, trees):
    words = ("train", f"{trees}:resnet8", "--data", shared_pictures, "--dry-run")
    answer = command(*words)
    assert answer.code == 0
    assert "on pictures, " in answer.out
    assert "(measured on a few" in answer.out
    numbers = command(*words, "--json").json
    said = {"steps", "seconds", "images_per_second", "memory_bytes", "disk_bytes", "device", "compiled"}
    assert numbers["estimate"].keys() == said
    assert numbers["recipe"]["network"] == f"{trees}:resnet8"
    assert list(here.iterdir()) == []


def test_the_stem_for_small_images_is_announced(command, shared_pictures, here):
    answer = command("train", "resnet18", "--data", shared_pictures, "--batch", 2, "--dry-run")
    assert answer.code == 0
    assert "resnet18 gets its stem for small images (12x12); --stem large keeps its own\n" in answer.err


def test_an_edit_that_changes_nothing_warns_in_one_line(command, here):
    answer = command("train", "lenet5", "--edit", "drop_path=0.2", "--dry-run")
    assert answer.code == 0
    assert "the edit drop_path(0.2) changed nothing in lenet5" in answer.err
    assert "Warning:" not in answer.err
    assert ".py:" not in answer.err


# --------------------------------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nonsense"], "unknown recipe, network or data set 'nonsense'"),
        (["resnet20_cifr"], "unknown recipe, network or data set 'resnet20_cifr'; nearest: resnet20_cifar"),
        (["--network", "resnet21"], "unknown network 'resnet21'; nearest: resnet1"),
        (["--network", "torchvision:resnet19"], "unknown torchvision network 'resnet19'; nearest: "),
        (["digits", "lenet5"], "train: one argument too many: 'lenet5'"),
        (["--epoch", "3"], "train: unknown option --epoch; here it is --epochs 3; try: convsmith train --epochs 3"),
        (["--learning-rate", "3"], "train: unknown option --learning-rate; "),
        (["--optimiser.lr", "3"], "unknown key 'optimiser'; nearest: optimizer"),
        (["--optimizer.momentun", "3"], "unknown key 'optimizer.momentun'; nearest: optimizer.momentum"),
        (["--optimizer.momentum"], "--optimizer.momentum needs a value"),
        (["--optimizer.momentum", "--quick"], "--optimizer.momentum needs a value"),
        (["--epochs"], "train: argument --epochs: expected one argument"),
        (["--epochs", "many"], "epochs: expected a number, received 'many'"),
        (["--epochs", "0"], "epochs: expected a number above 0, received 0"),
        (["--batch", "3.5"], "batch: expected a whole number, received '3.5'"),
        (["--batch", "0"], "batch: expected a whole number from 1, received 0"),
        (["--lr", "-1"], "optimizer.lr: expected a number above 0, received -1"),
        (["--size", "0"], "data.size: expected from 1 to 65535 pixels a side, received 0"),
        (["--precision", "fp8"], "unknown value for engine.precision: 'fp8'; nearest: fp"),
        (["--device", "tpu"], "engine.device: expected auto, cpu, cuda or cuda:N, received 'tpu'"),
        (["--engine.threads", "0"], "engine.threads: expected a whole number from 1, received 0"),
        (["--on-bad", "ignore"], "unknown value for data.on_bad: 'ignore'; known: error, skip"),
        (["--checkpoint_every", "0ep"], "checkpoint_every: expected a duration above 0, received 0ep"),
        (["--schedule.kind", "step"], "schedule.at: a step schedule needs the moments at which it falls"),
        (["--schedule.at", "50%"], "schedule.at belongs to the step schedule, not to cosine"),
        (["--augment", "flop"], "unknown augment 'flop'; nearest: flip"),
        (["--augment", "crop(many)"], "augment[0].padding: expected"),
        (["--augment", "crop("], ""),
        (["--edit", "widden=2"], "unknown edit 'widden'; nearest: widen"),
        (
            ["--quiet", "--optimizer.rules", "rule(nothing, lr=1)"],
            "optimizer.rules: no parameter is called 'nothing'; names are like",
        ),
        (["--data", "nowhere"], "no such path, and no data set of this name: 'nowhere'; "),
        (["--data", "cifar"], "no such path, and no data set of this name: 'cifar'; nearest names: cifar10, cifar100"),
        (["nowhere/images"], "nowhere/images: no such file or folder"),
        (["--quiet", "--weights", "nowhere.safetensors"], "nowhere.safetensors: "),
        (["--data.split", "80/20"], "data.split: expected train/val/test shares such as 80/10/10"),
        (["--resume", "nowhere"], "nowhere: no such run; expected a run directory"),
        (["own.py:make"], "own.py: no such file"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_one_line_for_each_mistake(words, message, refused, here):
    assert refused("train", *words).startswith(message)


def test_bad_folders(refused, here, pictures):
    empty = here / "empty"
    empty.mkdir()
    assert refused("train", "--data", empty, code=1).startswith(
        f"{empty}: no data set recognized: found an empty folder; looked for class folders"
    )
    for image in (pictures / "flat").iterdir():
        image.rename(image.with_suffix(".heic"))
    assert refused("train", "--data", pictures, code=1).startswith(
        f"{pictures / 'flat'}: none of its 20 files is an image that is read (20 .heic)"
    )
    one = here / "one" / "class"
    one.mkdir(parents=True)
    (pictures / "bent" / "000.png").rename(one / "1.png")
    assert "expected at least two class folders, found only 'class'" in refused("train", here / "one", code=1)


def test_a_truncated_image_is_named(refused, broken, trees, here):
    folder, bad = broken
    message = refused("train", f"{trees}:resnet8", "--data", folder, "--quiet", code=1)
    assert message.startswith(f"{bad}: the image is cut short or damaged")


@pytest.mark.parametrize("workers", [0, 2])
def test_a_truncated_image_that_is_found_while_training_is_named_and_the_run_failed(
    workers, command, broken, trees, here
):
    folder, bad = broken
    words = (
        "train",
        f"{trees}:resnet8",
        "--data",
        folder,
        "--data.loader",
        "streaming",
        "--workers",
        workers,
        "--quiet",
    )
    answer = command(*words, "--out", "run")
    assert (answer.code, answer.out) == (1, "")
    assert answer.err.startswith(f"convsmith: {bad}: the image is cut short or damaged")
    assert answer.err.count("\n") == 1
    status = open_run("run").status()
    assert status.state == "failed"
    assert str(bad) in status.message


def test_a_taken_directory(refused, here, photo_run):
    taken = here / "taken"
    taken.mkdir()
    (taken / "thesis.txt").write_text("years of work")
    assert refused("train", "--quick", "--out", taken).startswith(
        f"{taken}: holds something already; choose another --out"
    )
    message = refused("train", "--quick", "--out", photo_run[0], watched=photo_run[0])
    assert message.endswith(f"or continue a run with --resume {photo_run[0]}")
    file = taken / "thesis.txt"
    assert refused("train", "--quick", "--out", file).startswith(f"{file}: ")


def test_errors_of_a_users_file_stay_on_one_line(refused, here, shared_pictures):
    (here / "own.py").write_text("raise ValueError('first line\\nsecond line')\n")
    message = refused("train", "own.py:make", "--data", shared_pictures, code=1)
    assert message.endswith("own.py: could not be run: ValueError: first line second line")
    (here / "bad.py").write_text(
        "from torch import nn\nclass M(nn.Module):\n def forward(self, x): raise OSError('first\\nsecond')\n"
        "def make(classes): return M()\ndef other(classes): return 3\n"
    )
    message = refused("train", "bad.py:make", "--data", shared_pictures)
    assert message.endswith("OSError: first second")
    assert "bad.py: 'mak'; nearest: make" in refused("train", "bad.py:mak", "--data", shared_pictures)
    assert "gave a int; expected a torch.nn.Module or a Network" in refused("train", "bad.py:other")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGHUP, None)], ids=["SIGINT", "SIGHUP"])
def test_an_ignored_signal_before_there_is_a_run(number, code, command, monkeypatch, here):
    """SIGINT ends what a script started in the background; SIGHUP is nothing under nohup."""
    from convsmith.base.errors import UsageError
    from convsmith.work import within

    def interrupted(recipe):
        signal.raise_signal(number)
        raise UsageError("went on")

    monkeypatch.setattr(within, "prepare", interrupted)
    before = signal.signal(number, signal.SIG_IGN)
    try:
        answer = command("train", "--quick")
        assert signal.getsignal(number) == signal.SIG_IGN
    finally:
        signal.signal(number, before)
    assert (answer.code, answer.err) == ((130, "convsmith: stopped\n") if code else (2, "convsmith: went on\n"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_a_signal_before_there_is_a_run(number, command, monkeypatch, here):
    from convsmith.work import prepare, within

    usual = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
    before = signal.signal(number, usual)

    def interrupted(recipe):
        assert signal.getsignal(number) != signal.SIG_DFL
        signal.raise_signal(number)
        time.sleep(5)

    monkeypatch.setattr(within, "prepare", interrupted)
    assert prepare.prepare is not interrupted
    answer = command("train", "--quick")
    assert (answer.code, answer.out, answer.err) == (130, "", "convsmith: stopped\n")
    assert signal.signal(number, before) == usual
    assert list(here.iterdir()) == []

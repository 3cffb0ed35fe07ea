"""Batches of one under a norm are refused before the run begins; other errors of a step are told in our words."""

import pytest

from convsmith.work.first_step import smallest_part

MODULES = """
import torch
from torch import nn


class Norms(nn.Module):
    def __init__(self, classes, channels):
        super().__init__()
        self.norm = nn.BatchNorm1d(channels)
        self.out = nn.Linear(channels, classes)

    def forward(self, images):
        return self.out(self.norm(images.mean((2, 3))))


class Shapes(nn.Module):
    def __init__(self, classes, channels):
        super().__init__()
        self.out = nn.Linear(channels, classes)

    def forward(self, images):
        means = images.mean((2, 3))
        return self.out(means if len(images) <= 4 else means.repeat(1, 2))  # only a whole batch shows it


class Outputs(nn.Module):
    def __init__(self, classes, channels):
        super().__init__()
        self.out = nn.Linear(channels, classes)

    def forward(self, images):
        return self.out(images.mean((2, 3)))[: 4]


class Odd(nn.Module):
    def __init__(self, classes, channels):
        super().__init__()
        self.out = nn.Linear(channels, classes)

    def forward(self, images):
        if len(images) > 4:
            raise KeyError("\\x1b[31mcolor")
        return self.out(images.mean((2, 3)))


def norms(classes, channels): return Norms(classes, channels)
def shapes(classes, channels): return Shapes(classes, channels)
def outputs(classes, channels): return Outputs(classes, channels)
def odd(classes, channels): return Odd(classes, channels)
"""
LARGE = ["--size", "16", "--stem", "large"]


@pytest.fixture
def own(tmp_path):
    file = tmp_path / "own.py"
    file.write_text(MODULES)
    return file


@pytest.mark.parametrize(
    ("batch", "parts", "expected"), [(8, 1, 8), (8, 8, 1), (8, 3, 2), (10, 4, 1), (9, 4, 3), (1, 4, 1), (2, 1, 2)]
)
def test_the_smallest_part_of_a_batch(batch, parts, expected):
    assert smallest_part(batch, parts) == expected


@pytest.mark.parametrize(
    ("words", "mend"),
    [
        (["resnet18", *LARGE, "--batch", "1"], "with --batch 2 or more"),
        (["resnet18", *LARGE, "--batch", "1", "--dry-run"], "with --batch 2 or more"),
        (["resnet18", *LARGE, "--batch", "8", "--optimizer.accumulate", "8"],
         "with fewer parts of the batch of 8 (--optimizer.accumulate 7) or a larger --batch"),
        (["resnet18", *LARGE, "--batch", "10", "--optimizer.accumulate", "4"],
         "with fewer parts of the batch of 10 (--optimizer.accumulate 3) or a larger --batch"),
        (["mobilenet_v2", *LARGE, "--batch", "1"], "with --batch 2 or more"),
        (["squeezenet1_1", "--edit", "norm=batch", *LARGE, "--batch", "1"], None),
        (["{own}:norms", "--batch", "1"], "with --batch 2 or more"),
    ],
)  # fmt: skip
def test_a_norm_of_one_value_is_refused_before_the_run_begins(words, mend, refused, pictures, own, here, command):
    words = [word.format(own=own) for word in words]
    if mend is None or "--dry-run" in words:
        answer = command("train", *words, "--data", pictures, "--out", "run")
        assert answer.code == 2
        assert (mend or "") in answer.err
        assert "Traceback" not in answer.err
    else:
        said = refused("train", *words, "--data", pictures, "--out", "run")
        assert said.startswith("batch: ")
        assert said.endswith(f" sees a single value of each channel and needs two or more; mend {mend}")
    assert not (here / "run").exists()


def test_a_single_training_image(refused, write_pictures, tmp_path, here):
    folder = write_pictures(tmp_path / "two", 1, 12, ("a", "b"))
    words = ["train", "resnet18", *LARGE, "--data", folder, "--data.split", "50/50/0", "--out", "run"]
    assert refused(*words, code=2)
    assert not (here / "run").exists()


@pytest.mark.parametrize(
    "words",
    [
        ["resnet20_cifar", "--batch", "1"],  # its norms see whole maps
        ["lenet5", "--size", "32", "--batch", "1"],  # it has none
        ["resnet18", *LARGE, "--batch", "2"],
    ],
)
def test_other_small_batches_train(words, command, pictures, here):
    answer = command(
        "train", *words, "--data", pictures, "--quick", "--lr", "0.001", "--out", "run", "--quiet", "--json"
    )
    assert answer.code == 0, answer.err


def test_frozen_norms_take_a_single_image(command, pictures, here):
    words = ["resnet18", *LARGE, "--data", pictures, "--quick", "--quiet", "--json", "--lr", "0.001"]
    assert command("train", *words, "--out", "run").code == 0
    more = ["--data", pictures, "--mode", "probe", "--batch", "1", "--quick", "--quiet", "--json", "--lr", "0.001"]
    answer = command("finetune", "run", *more, "--out", "tuned")
    assert answer.code == 0, answer.err


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("shapes", "RuntimeError: mat1 and mat2 shapes cannot be multiplied"),
        ("outputs", "ValueError: Expected input batch_size (4) to match target batch_size (8)."),
        ("odd", "KeyError: "),
    ],
)
def test_errors_of_a_step_are_one_line_and_the_rest_is_in_the_log(function, said, command, pictures, own, here):
    answer = command("train", f"{own}:{function}", "--data", pictures, "--out", "run", "--batch", "8")
    assert answer.code == 1
    last = answer.err.splitlines()[-1]
    assert last.startswith("convsmith: step 1: the network refused a batch"), answer.err
    assert said in last
    assert "It received images of 8x3x12x12 and is to give an output for each of 3 classes" in last
    assert "Traceback" not in answer.err
    assert "\x1b" not in answer.err
    assert "Traceback" in (here / "run" / "log.txt").read_text()
    if function != "outputs":
        assert "(own.py, line " in last

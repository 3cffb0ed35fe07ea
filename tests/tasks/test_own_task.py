"""A task of a user's own: what it may be, what it lacks, and the runs that it makes."""

import json
import math
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from convsmith.base.errors import UsageError
from convsmith.base.result import results_to_json
from convsmith.base.user_code import give
from convsmith.report.results import number_lines
from convsmith.tasks.task import Own, own_result
from convsmith.work.evaluate import evaluate_run

# A loss and numbers that Convsmith does not have.
TASK = """
import torch
from torch.nn import functional


class Numbers:
    def __init__(self, loss, count):
        self.values = {"loss": loss, "score": -loss, "count": count, "twice": 2 * loss}

    def summary(self):
        return self.values


class Tally:
    def __init__(self):
        self.outputs, self.targets = [], []

    def update(self, outputs, targets):
        self.outputs.append(outputs)
        self.targets.append(targets)

    def result(self):
        targets = torch.cat(self.targets)
        return Numbers(functional.multi_margin_loss(torch.cat(self.outputs), targets).item(), len(targets))


class Margin:
    def __init__(self, classes, counts=()):
        self.labels, self.guess_loss, self.counts = classes, 1.0, counts

    def loss(self, outputs, targets):
        return functional.multi_margin_loss(outputs, targets)

    def correct(self, outputs, targets):
        return (outputs.argmax(1) == targets).sum()

    def tally(self, device):
        return Tally()


def make(classes, counts):
    return Margin(classes, counts)
"""
DIGITS = ("train", "lenet5", "--data", "digits", "--quick", "--quiet", "--augment", "")


@pytest.fixture
def task(here: Path) -> Path:
    (here / "my_task.py").write_text(TASK)
    return here / "my_task.py"


def test_a_run_with_a_task_of_ones_own(task: Path, here: Path, command) -> None:
    answer = command(*DIGITS, "--task", "my_task.py:make", "--out", "run")
    assert answer.code == 0, answer.err
    record = json.loads((here / "run" / "recipe.json").read_text())
    assert record["recipe"]["task"] == f"{task}:make"
    assert sum(record["task"]["values"]["counts"]) == 256  # quick trains on so many
    result = json.loads((here / "run" / "result.json").read_text())["metrics"]["test"]
    assert result["score"] == -result["loss"]
    assert f"test score           {result['score']:.4f}  (over 179 images)" in answer.out
    row = json.loads((here / "run" / "metrics.jsonl").read_text().splitlines()[-1])
    assert row["val_score"] == -row["val_loss"]
    assert "val_accuracy" not in row
    page = (here / "run" / "report.html").read_text()
    assert f'<div class="value">{result["score"]:.4f}</div>' in page
    assert "twice" in page
    asked = command("eval", "run")
    assert (asked.code, asked.out) == (2, "")
    assert f"{task}:make makes a task, and its code is not run without your consent" in asked.err
    assert asked.err.endswith("read it, and if you trust it: convsmith eval run --trust-code\n")
    shown = command("eval", "run", "--trust-code")
    assert shown.err.startswith(f"runs {task}:make (SHA-256 {record['task']['fingerprint']}), as --trust-code says\n")
    assert f"twice     {2 * result['loss']:.4f}" in shown.out
    assert command("eval", "run", "--json", "--trust-code", "my_task.py:make").json["twice"] == pytest.approx(
        2 * result["loss"]
    )
    assert command("eval", "run", "--calibrate").code == 2
    assert command("train", "run", "--trust-code", "--seed", "1", "--quiet", "--out", "run2").code == 0
    listed = command("runs", ".")
    assert f"score {result['score']:.4g}" in listed.out
    assert listed.out.count("accuracy") == 0, "that of the training images is not a score"
    compared = command("compare", "run", "run2", "--trust-code")
    assert "no paired test: a task of its own does not say which images are right" in compared.out
    assert "twice" in compared.out
    task.write_text(TASK + "\n# changed\n")
    changed = command("eval", "run", "--trust-code")
    assert (changed.code, "has changed since the run was made with it" in changed.err) == (1, True)
    task.unlink()
    gone = command("eval", "run").err
    assert f"{task}: the file that makes a task is gone" in gone
    (here / "elsewhere.py").write_text(TASK)
    assert "say where it is now: convsmith eval run --trust-code PATH.py:make" in gone
    assert command("eval", "run", "--trust-code", "elsewhere.py:make").code == 0


def test_several_runs_of_it_show_its_score(task: Path, here: Path, command) -> None:
    answer = command(*DIGITS, "--task", "my_task.py:make", "--repeat", "2", "--out", "set")
    assert answer.code == 0, answer.err
    over = json.loads((here / "set" / "summary.json").read_text())["over_runs"]
    head, _, first, *_ = answer.out.splitlines()
    assert head.split() == ["score", "validation", "test"]
    score = json.loads((here / "set" / "seed0" / "result.json").read_text())["metrics"]["test"]["score"]
    assert first.split() == ["seed0", first.split()[1], f"{score:.4f}"]
    assert f"{over['test']['score']['mean']:.4f}" in answer.out


def test_only_the_loss_is_ones_own(here: Path, command) -> None:
    (here / "my_task.py").write_text(
        "from convsmith.tasks.classify import Classify\n\n\nclass Twice(Classify):\n"
        "    def loss(self, outputs, targets):\n        return 2 * super().loss(outputs, targets)\n\n\n"
        "def make(classes, label_smoothing):\n    return Twice(classes, label_smoothing)\n"
    )
    assert command(*DIGITS, "--task", "my_task.py:make", "--out", "run").code == 0
    give("my_task.py:make")
    result = evaluate_run("run").result
    assert result.accuracy == pytest.approx(sum(result.right) / result.count)
    assert "Confusion" in (here / "run" / "report.html").read_text()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("def correct(", "def korrect("), r"is not a task; it lacks correct \(correct\(outputs, targets\): how many"),
        (
            ("def make(classes, counts)", "def make(classes, weather)"),
            "my_task.py:make needs weather, and only classes,",
        ),
        (("    return Margin(classes, counts)", "    return 1 / 0"), "make failed: ZeroDivisionError"),
        (
            ("    return Margin(classes, counts)", "    return None"),
            "gave a NoneType that is not a task; it lacks labels",
        ),
        (("= classes, 1.0", "= ('a',), 1.0"), "expected labels to be the classes of the data, received"),
        (("= classes, 1.0", "= classes, 'one'"), "expected guess_loss to be a finite Python number, received 'one'"),
        (
            ("return functional.multi_margin_loss(outputs, targets)", "return 3"),
            "loss gave 3; expected one finite number",
        ),
        (
            ("return functional.multi_margin_loss(outputs, targets)", "return outputs.detach().mean()"),
            "loss gave .*, no gradient; expected",
        ),
        (("return functional.multi_margin_loss(outputs, targets)", "return outputs.sum(1)"), "a tensor of shape .4,"),
        (
            ("return functional.multi_margin_loss(outputs, targets)", "return outputs @ targets"),
            "loss failed on targets",
        ),
        (("(outputs.argmax(1) == targets).sum()", "(outputs.argmax(1) == targets)"), "correct gave a tensor of shape"),
        (('"score": -loss, ', ""), "the summary of an evaluation lacks score; received"),
        (('"count": count', '"count": None'), "expected count of an evaluation's summary to be a finite Python number"),
        (("targets = torch.cat(self.targets)", "targets = self.nothing"), "tally failed on targets int64 .4,.: Attrib"),
        (
            ('"twice": 2 * loss', '"twice": torch.tensor(2.0)'),
            r"twice of an evaluation's summary cannot be written as JSON; .*, received Tensor tensor\(2\.\)",
        ),
        (('"twice": 2 * loss', '"twice": __import__("numpy").float32(2)'), "twice of .*, received float32 np.float32"),
        (('"twice": 2 * loss', '"twice": float("nan")'), "twice of .*; expected a finite Python number, None, a text"),
        (
            (
                "    def summary(self)",
                "    def to_json(self):\n        return {'all': {1, 2}}\n\n    def summary(self)",
            ),
            "all of an evaluation's to_json cannot be written as JSON; .*, received set {1, 2}",
        ),
        (("def make(", "def build("), "unknown function in .*my_task.py: 'make'"),
        (("import torch\n", "import torhc\n"), "could not be run: ModuleNotFoundError"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_trained(task: Path, here: Path, refused, change, says: str) -> None:
    assert TASK.count(change[0]) >= 1
    task.write_text(TASK.replace(*change))
    code = 1 if "failed: Zero" in says or "could not" in says else 2
    said = refused(*DIGITS, "--task", "my_task.py:make", "--out", "run", code=code)
    assert re.search(says, said), said


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--task", "other.py:make"], "other.py: no such file; a task of your own is given as file.py:function"),
        (["--task", "margin"], "task: expected file.py:function, received 'margin'"),
        (["--task", "my_task.py:make", "--loss.kind", "bce"], "loss.kind: the task .* has a loss of its own"),
        (["--task", "my_task.py:make", "--augment", "mixup(0.2)"], "loss failed on targets float32 .4, 10."),
    ],
)
def test_options_that_do_not_go_together(task: Path, here: Path, refused, words: list[str], says: str) -> None:
    assert re.search(says, refused(*DIGITS, *words, "--out", "run"))


class Given:
    """A result of a user's own with any summary; further attributes as given."""

    def __init__(self, summary, **more):
        self.summary = lambda: summary
        self.__dict__ |= more


TOLD = {"score": 0.5, "loss": 1.0, "count": 3}


def test_numbers_of_any_kind_become_those_of_strict_json() -> None:
    more = {"a": np.float32(0.5), "b": torch.tensor(2), "nan": math.nan, "inf": -math.inf, "huge": 10**400}
    result = own_result(Given(TOLD | more | {"rows": [np.float64(1.0), {"x": math.inf}]}))
    json.dumps(results_to_json({"test": result}), allow_nan=False)
    assert result.to_json() == TOLD | {
        "a": 0.5, "b": 2, "nan": None, "inf": None, "huge": None, "rows": [1.0, {"x": None}],
    }  # fmt: skip
    assert [n.name for n in result.numbers] == ["score", "loss", "a", "b", "nan", "inf", "huge"]
    assert number_lines(result)[-1].split() == ["huge", "-"]


@pytest.mark.parametrize("value", [None, math.nan, math.inf, 10**400])
def test_a_score_that_is_no_number_stays_one_to_stop_at(value) -> None:
    result = own_result(Given(TOLD | {"score": value}))
    assert not math.isfinite(result.numbers[0].value)
    assert result.to_json()["score"] is None
    json.dumps(results_to_json({"test": result}), allow_nan=False)


def test_to_json_needs_no_count() -> None:
    result = own_result(Given(TOLD, to_json=lambda: {"loss": 1.0, "other": 2.0}))
    assert (result.count, result.to_json()) == (3, {"loss": 1.0, "other": 2.0, "count": 3})


@pytest.mark.parametrize(
    ("summary", "more", "said"),
    [
        (TOLD | {5: 1.0}, {}, r"Given.summary\(\): expected names that are texts, received 5"),
        ([1], {}, r"Given.summary\(\) gave \[1\]; expected a dict"),
        ({"score": 1.0}, {}, r"Given.summary\(\) lacks loss, count; it has score"),
        (TOLD | {"count": 2.5}, {}, "the count 2.5"),
        (TOLD | {"count": None}, {}, "the count None"),
        (TOLD | {"x": {1}}, {}, "received set {1}"),
        (TOLD, {"to_json": lambda: [1, 2]}, r"Given.to_json\(\) gave \[1, 2\]; expected a dict"),
        (TOLD, {"sample_loss": [1.0, 2.0]}, "Given.sample_loss: expected numbers for each of 3 examples"),
        (TOLD, {"right": [True]}, "Given.right: expected"),
        (TOLD, {"outputs": "text"}, "Given.outputs: expected"),
    ],
)
def test_a_result_that_is_none_is_said(summary, more, said) -> None:
    with pytest.raises(UsageError, match=said):
        own_result(Given(summary, **more))


@pytest.mark.parametrize("given", [1.5, None, {"a": 1}, torch.ones(2, requires_grad=True), torch.tensor(1.0)])
def test_a_loss_that_is_none_is_said_at_any_step(given) -> None:
    with pytest.raises(UsageError, match=r"SimpleNamespace\.loss gave .*; expected one number as a tensor"):
        Own(SimpleNamespace(loss=lambda outputs, targets: given)).loss(torch.ones(1), torch.ones(1))


@pytest.mark.parametrize("given", [1, None, torch.ones(2)])
def test_a_count_that_is_none_is_said_at_any_step(given) -> None:
    with pytest.raises(UsageError, match=r"SimpleNamespace\.correct gave .*; expected a count"):
        Own(SimpleNamespace(correct=lambda outputs, targets: given)).correct(torch.ones(1), torch.ones(1))

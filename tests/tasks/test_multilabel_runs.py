"""Runs on images with several labels each, as a user has them: train, resume, evaluate, compare, predict, report."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn import metrics

import convsmith as cs
from convsmith.recipes.choose import run_recipe
from convsmith.report.text import percent
from convsmith.runs.checkpoints import load_checkpoint
from convsmith.work.evaluate import ensemble, evaluate_run
from convsmith.work.learned import learned_of

COLORS = {"red": 0, "green": 1, "blue": 2}
NETWORK = """
from torch import nn


def make(classes, channels):
    body = nn.Conv2d(channels, 6, 3), nn.ReLU(), nn.Dropout(0.2), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    return nn.Sequential(*body, nn.Linear(6, classes))
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 images of 8x8 pixels with any of three colors, their table, and a network."""
    folder = tmp_path_factory.mktemp("colors")
    random = np.random.default_rng(0)
    rows = ["image,labels"]
    for i in range(60):
        has = random.random(3) < (0.5, 0.4, 0.6)
        pixels = random.integers(0, 60, (8, 8, 3)) + 180 * has
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{i:02}.png")
        rows.append(f"{i:02}.png,{';'.join(name for name, n in COLORS.items() if has[n])}")
    (folder / "tags.csv").write_text("\n".join(rows))
    (folder / "net.py").write_text(NETWORK)
    return folder


OPTIONS = ["--batch", "16", "--lr", "0.5", "--augment", "mixup(0.2)", "--schedule.kind", "constant",
           "--schedule.warmup", "0ep", "--precision", "fp32", "--quiet"]  # fmt: skip


@pytest.fixture(scope="module")
def run(place: Path) -> Path:
    options = {"batch": 16, "lr": 0.5, "epochs": 3, "precision": "fp32", "augment": "cutmix(1.0, 0.3)"}
    out = place / "run"
    cs.train(f"{place}/net.py:make", data=str(place / "tags.csv"), quiet=True, out=out, select="best", **options)
    return out


def test_the_run_says_what_it_is(run: Path) -> None:
    record = json.loads((run / "recipe.json").read_text())["recipe"]
    assert (record["loss"]["kind"], record["task"]) == (None, None)  # by the data, also where the recipe goes next
    assert learned_of(cs.load(run).directory, run_recipe(run)).task.options.kind == "bce"
    assert json.loads((run / "data.json").read_text())["card"]["multilabel"] is True
    split = json.loads((run / "split.json").read_text())
    assert "drawn from the stored train" in split["rule"]
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert {"train_accuracy", "val_loss", "val_accuracy", "val_map"} <= rows[-1].keys()
    result = json.loads((run / "result.json").read_text())["metrics"]
    best = max(row["val_map"] for row in rows)
    assert result["val"]["map"] == pytest.approx(best)
    assert {c["label"] for c in result["test"]["per_class"]} == set(COLORS)


def test_the_report_has_the_numbers(run: Path) -> None:
    page = (run / "report.html").read_text()
    result = json.loads((run / "result.json").read_text())["metrics"]["test"]
    assert "test mAP" in page
    assert f"{result['map']:.1%}" in page
    assert "with exactly their labels" in page
    assert "average precision</th>" in page
    assert "Mean average precision" in page  # of the curves
    assert "Confusion" not in page


def test_eval_counts_as_scikit_learn_does(run: Path, command) -> None:
    evaluated = evaluate_run(run, split="train")
    result = evaluated.result
    assert np.array_equal(result.targets, evaluated.examples.labels.astype(bool))
    assert result.map == pytest.approx(metrics.average_precision_score(result.targets, result.probabilities))
    shown = command("eval", run, "--split", "train").out
    assert f"mAP       {result.map:.2%}" in shown
    data = command("eval", run, "--split", "train", "--json").json
    assert (data["map"], data["hamming"], data["split"]) == (result.map, result.hamming, "train")


def test_predictions_are_the_evaluations(run: Path, command, place: Path) -> None:
    evaluated = evaluate_run(run)
    names = [place / evaluated.examples.place(i) for i in range(3)]
    found = command("predict", run, *names, "--json", "--threshold", "0.3").json
    for prediction, shares in zip(found, evaluated.result.probabilities, strict=False):
        by_name = dict(zip(evaluated.subject.labels, shares, strict=True))
        assert {g["label"]: g["probability"] for g in prediction["top"]} == pytest.approx(by_name, abs=1e-5)
        assert {g["label"] for g in prediction["labels"]} == {n for n, share in by_name.items() if share >= 0.3}
    said = command("predict", run, names[0], "--threshold", "1").out
    assert "none of the classes (nearest: " in said
    answer = command("predict", run, names[0], "--threshold", "1.5")
    assert (answer.code, "expected a probability from 0 to 1, received 1.5" in answer.err) == (2, True)


def test_lists_and_several_runs_show_the_mean_average_precision(
    run: Path, place: Path, tmp_path: Path, command
) -> None:
    result = json.loads((run / "result.json").read_text())["metrics"]["test"]
    (row,) = command("runs", run, "--json").json
    assert (row["score"], row["score_is"]) == (result["map"], "map")
    assert f"mAP {percent(result['map'])}" in command("runs", run).out
    words = ["train", f"{place}/net.py:make", "--data", place / "tags.csv", *OPTIONS, "--epochs", "1"]
    answer = command(*words, "--repeat", "2", "--out", tmp_path / "set")
    assert answer.code == 0, answer.err
    head, _, first, *_ = answer.out.splitlines()
    assert head.split() == ["mAP", "validation", "test"]
    found = json.loads((tmp_path / "set" / "seed0" / "result.json").read_text())["metrics"]
    assert first.split() == ["seed0", f"{found['val']['map']:.2%}", f"{found['test']['map']:.2%}"]
    assert found["test"]["map"] != found["test"]["accuracy"], "which would show the same"


def test_an_ensemble_of_one_run_with_itself_is_that_run(run: Path) -> None:
    evaluated = evaluate_run(run)
    both = ensemble([evaluated, evaluated])
    assert both.map == pytest.approx(evaluated.result.map)
    assert both.loss == pytest.approx(evaluated.result.loss, abs=1e-6)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["eval", "RUN", "--calibrate"], "a temperature is for one label for each image, and this run has several"),
        (["eval", "RUN", "--plot", "x.svg"], "a reliability diagram is for one label for each image"),
        (["eval", "RUN", "--views", "mirror"], "views: are for one label for each image"),
        (["train", "NET", "--data", "TAGS", "--loss.kind", "hinge"], "loss.kind hinge: expected .*bce or focal"),
        (["train", "NET", "--data", "TAGS", "--loss.kind", "cross_entropy"], "loss.kind cross_entropy: expected .*bce"),
        (["train", "NET", "--data", "TAGS", "--views", "mirror"], "views: is for one label for each image"),
        (["train", "NET", "--data", "TAGS", "--data.images", "9"], "data.images: images with several labels each"),
        (
            ["train", "NET", "--data", "TAGS", "--loss.class_weights", "W"],
            "w.json: expected a weight for every class, found none for blue, green, red$",
        ),
    ],
)
def test_what_is_refused(run: Path, place: Path, refused, here: Path, words: list[str], says: str) -> None:
    import re

    (here / "w.json").write_text("{}")
    names = {"RUN": run, "NET": f"{place}/net.py:make", "TAGS": place / "tags.csv", "W": "w.json"}
    words = [names.get(word, word) for word in words]
    words += ["--label_smoothing", "0"] if words[0] == "train" else []
    code = 1 if "w.json" in words else 2
    assert re.search(says, refused(*words, code=code))


def test_other_images_with_one_label_each(run: Path, place: Path, tmp_path: Path, command) -> None:
    files = [place / f"{i:02}.png" for i in range(4)]
    for label, file in zip(("blue", "red", "blue", "red"), files, strict=True):
        (tmp_path / label).mkdir(exist_ok=True)
        (tmp_path / label / file.name).write_bytes(file.read_bytes())
    result = evaluate_run(run, source=str(tmp_path)).result
    names = evaluate_run(run).subject.labels
    assert result.targets.sum(axis=0).tolist() == [2 if name in ("blue", "red") else 0 for name in names]


def test_a_resumed_run_is_the_straight_one_though_its_weights_file_is_gone(
    place: Path, tmp_path: Path, command
) -> None:
    (tmp_path / "w.json").write_text('{"red": 1, "green": 2, "blue": 3}')
    words = ["train", f"{place}/net.py:make", "--data", place / "tags.csv", *OPTIONS]
    words += ["--loss.class_weights", tmp_path / "w.json"]
    assert command(*words, "--epochs", "2", "--out", tmp_path / "straight").code == 0
    assert command(*words, "--epochs", "1", "--out", tmp_path / "resumed").code == 0
    (tmp_path / "w.json").unlink()
    answer = command("train", "--resume", tmp_path / "resumed", "--epochs", "2", "--quiet")
    assert answer.code == 0, answer.err
    one, two = (load_checkpoint(cs.load(tmp_path / name).directory).model for name in ("straight", "resumed"))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)
    record = json.loads((tmp_path / "resumed" / "recipe.json").read_text())
    assert record["class_weights"] == {"blue": 3.0, "green": 2.0, "red": 1.0}
    compared = command("compare", tmp_path / "straight", tmp_path / "resumed")
    assert "all right against straight" in compared.out

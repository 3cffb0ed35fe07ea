"""Runs evaluated and used through views, and recipes that say which."""

import numpy as np
import pytest
from PIL import Image

import convsmith as cs
from convsmith.base.errors import UsageError
from convsmith.recipes.choose import choose
from convsmith.work.evaluate import ensemble, evaluate_run
from convsmith.work.run import train


def shares(outputs: np.ndarray) -> np.ndarray:
    powers = np.exp(outputs - outputs.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def test_an_evaluation_through_views_counts_each_image_once(digit_runs):
    plain, seen = (evaluate_run(digit_runs[0], split="val", views=views) for views in ("", "mirror"))
    assert (plain.views, plain.result.count, seen.result.count) == ((), 180, 180)
    assert shares(seen.result.outputs).sum(1) == pytest.approx(1)
    assert seen.result.loss != plain.result.loss
    again = evaluate_run(digit_runs[0], split="val", views="mirror")
    assert np.array_equal(again.result.outputs, seen.result.outputs)
    # The outputs are logarithms of probabilities already: in an ensemble they count as they are.
    members = [seen, evaluate_run(digit_runs[1], split="val", views="mirror")]
    mean = np.mean([shares(member.result.outputs) for member in members], axis=0)
    assert ensemble(members).probability == pytest.approx(mean.max(1).tolist())


def test_predictions_through_views_are_those_of_the_evaluation(photo_run):
    run, folder = photo_run
    views = "multi_scale(12, 16),ten_crop(1)"
    seen = evaluate_run(run, source=None, split="val", views=views)
    files = [str(folder / seen.examples.place(i)) for i in range(6)]
    predicted = cs.load(run).predict(files, views=views)
    assert [p.label for p in predicted] == [seen.subject.labels[i] for i in seen.result.predicted]
    assert [p.probability for p in predicted] == pytest.approx(list(seen.result.probability), rel=1e-5)


def test_under_noise_an_image_has_one_answer_alone_and_among_others_in_any_order(photo_run):
    run, folder = photo_run
    views = "noisy(3, 0.1)"
    seen = evaluate_run(run, split="val", views=views)
    expected = [
        (seen.subject.labels[i], p) for i, p in zip(seen.result.predicted, seen.result.probability, strict=True)
    ]
    files = [str(folder / seen.examples.place(i)) for i in range(6)]
    loaded = cs.load(run)
    for order in ([0, 1, 2, 3, 4, 5], [5, 3, 1, 0], [4]):
        found = loaded.predict([files[i] for i in order], views=views)
        assert [p.label for p in found] == [expected[i][0] for i in order]
        assert [p.probability for p in found] == pytest.approx([expected[i][1] for i in order], rel=1e-5)
    assert evaluate_run(run, split="val", views=views).result.loss == seen.result.loss
    assert evaluate_run(run, split="val", views="noisy(3, 0.1, 1)").result.loss != seen.result.loss
    plain = evaluate_run(run, split="val").result
    assert evaluate_run(run, split="val", views="noisy(3, 0)").result.loss == pytest.approx(plain.loss, rel=1e-6)


def test_a_recipe_says_which_views_its_end_is_evaluated_through(tmp_path):
    recipe = choose("digits", None).edit(quick=True, views="translate(1),mirror", engine__threads=1)
    result = train(recipe, out=tmp_path / "run", quiet=True).result
    plain = train(recipe.edit(views=""), out=tmp_path / "plain", quiet=True).result
    assert result["metrics"] == plain["metrics"]
    assert "views" not in plain
    assert (result["views"]["views"], result["views"]["of_an_image"]) == ("translate(1), mirror", 6)
    again = evaluate_run(tmp_path / "run", split="test", views="translate(1),mirror").result
    assert result["views"]["metrics"]["test"]["loss"] == again.loss
    assert result["views"]["metrics"]["test"]["loss"] != result["metrics"]["test"]["loss"]


def test_views_that_cannot_be_are_refused_before_training(tmp_path):
    recipe = choose("digits", None).edit(quick=True)
    for views, message in (("ten_crop", "no margin to cut corners from"), ("draws(2)", "no layer with random pooling")):
        with pytest.raises(UsageError, match=message):
            train(recipe.edit(views=views), out=tmp_path / "run", quiet=True)
        assert not (tmp_path / "run").exists()


def test_by_the_command(command, refused, digit_runs, here):
    run = str(digit_runs[0])
    answer = command("eval", run, "--split", "val", "--views", "translate(1),mirror")
    assert answer.code == 0
    line = "views     translate(1), mirror: 6 of each image, 6 times the pixels; the mean of their probabilities"
    assert line in answer.out.splitlines()
    found = command("eval", run, "--split", "val", "--views", "multi_scale(32, 48),dense", "--json").json
    assert (found["views"], found["views_of_an_image"], found["pixels"]) == ("multi_scale(32, 48), dense", 2, 3.25)
    assert found["count"] == 180
    answer = command("eval", run, str(digit_runs[1]), "--views", "mirror", "--ensemble")
    assert "views mirror: 2 of each image, 2 times the pixels; the mean of their probabilities" in answer.out
    left = 255 * np.tri(8, dtype=np.uint8)
    for name, pixels in (("left", left), ("right", left[:, ::-1])):
        Image.fromarray(pixels).save(f"{name}.png")

    def answered(*words):
        (found,) = command("predict", run, *words, "--top", "10", "--json").json
        return {answer["label"]: answer["probability"] for answer in found["top"]}

    one, other, both = answered("left.png"), answered("right.png"), answered("left.png", "--views", "mirror")
    assert both == pytest.approx({label: (one[label] + other[label]) / 2 for label in one}, rel=1e-4, abs=1e-7)
    assert max(abs(both[label] - one[label]) for label in one) > 0.001
    assert refused("eval", run, "--views", "flop").startswith("unknown views 'flop'; ")
    assert refused("eval", run, "--views", "mirror", "--calibrate").startswith("eval: --views cannot be given with")
    assert "no margin to cut corners from" in refused("predict", run, "left.png", "--views", "ten_crop")

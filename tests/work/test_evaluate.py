"""Runs evaluated: alone, as an ensemble, calibrated, compared."""

import os
import shutil
import statistics
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics

from convsmith.base.errors import BadFile, UsageError
from convsmith.recipes.choose import run_recipe
from convsmith.runs.directory import open_run
from convsmith.work.compare import compare_runs, recipe_differences
from convsmith.work.evaluate import calibrate_run, ensemble, evaluate_run


@pytest.fixture(scope="module")
def evaluated(digit_runs):
    return [evaluate_run(path) for path in digit_runs]


@pytest.fixture
def slow_run(digit_runs, tmp_path):
    """A copy of the run that learned less, to be written to."""
    return Path(shutil.copytree(digit_runs[2], tmp_path / "slow"))


def shares(outputs, temperature=1.0):
    powers = np.exp((outputs - outputs.max(1, keepdims=True)).astype(np.float64) / temperature)
    return powers / powers.sum(1, keepdims=True)


def test_every_one_of_a_prime_number_of_images_counts_once(evaluated, monkeypatch):
    result, targets = evaluated[0].result, evaluated[0].examples.labels
    assert result.count == 179 == len(targets)
    assert result.outputs.shape == (179, 10)
    assert result.auc == pytest.approx(metrics.roc_auc_score(targets, shares(result.outputs), multi_class="ovr"))
    monkeypatch.setattr("convsmith.work.evaluate.EVALUATION_BATCH", 7)
    again = evaluate_run(evaluated[0].subject.run.path).result
    assert (again.confusion, again.averages) == (result.confusion, result.averages)
    assert again.loss == pytest.approx(result.loss, rel=1e-5)
    assert (again.ece(), again.auc) == pytest.approx((result.ece(), result.auc), rel=1e-5)


def test_an_ensemble_is_the_mean_of_the_probabilities(evaluated):
    found, targets = ensemble(evaluated), evaluated[0].examples.labels
    mean = np.mean([shares(e.result.outputs) for e in evaluated], axis=0)
    assert found.count == 179
    assert found.predicted == tuple(mean.argmax(1).tolist())
    assert found.accuracy == metrics.accuracy_score(targets, mean.argmax(1))
    assert found.loss == pytest.approx(metrics.log_loss(targets, mean))
    assert found.probability == pytest.approx(mean.max(1).tolist())


def test_a_calibrated_member_brings_its_calibrated_probabilities(evaluated):
    one, two, _ = evaluated
    cooler = replace(one, subject=replace(one.subject, temperature=0.5))
    mean = (shares(one.result.outputs, 0.5) + shares(two.result.outputs)) / 2
    assert ensemble([cooler, two]).loss == pytest.approx(metrics.log_loss(one.examples.labels, mean))


def test_an_ensemble_needs_the_same_images_and_classes(evaluated, digit_runs, photo_run):
    one, two, _ = evaluated
    with pytest.raises(UsageError, match="an ensemble needs two runs or more"):
        ensemble([one])
    with pytest.raises(UsageError, match=r"were evaluated on other images: 179 \(test\) and 180 \(val\)"):
        ensemble([one, evaluate_run(digit_runs[1], split="val")])
    with pytest.raises(UsageError, match=r"have other classes: 0, 1, 2, 3, 4, 5, ... \(10 in all\); bent, flat, round"):
        ensemble([one, evaluate_run(photo_run[0])])
    turned = replace(two, examples=two.examples.subset(range(178, -1, -1)))
    with pytest.raises(UsageError, match="which are not the same; name images for all with --data"):
        ensemble([one, turned])
    elsewhere = replace(two, fingerprint="of other data")
    with pytest.raises(UsageError, match="which are not the same"):
        ensemble([one, elsewhere])


def test_a_temperature_is_fitted_to_the_validation_images_and_used_from_then_on(slow_run, evaluated):
    weights = sorted((slow_run / "checkpoints").rglob("*.safetensors"))
    before = {file: file.read_bytes() for file in weights}
    validation, test = evaluate_run(slow_run, split="val"), evaluated[2]
    record = calibrate_run(slow_run)
    fitted = record["temperature"]
    targets = validation.examples.labels

    def loss(t):
        return metrics.log_loss(targets, shares(validation.result.outputs, t))

    assert loss(fitted) < min(loss(fitted * 1.02), loss(fitted / 1.02), loss(1))
    assert {file: file.read_bytes() for file in weights} == before
    after = evaluate_run(slow_run)
    assert after.subject.temperature == fitted
    assert after.result.predicted == test.result.predicted
    assert after.result.loss == pytest.approx(
        metrics.log_loss(test.examples.labels, shares(test.result.outputs, fitted)), rel=1e-5
    )
    for split, (old, new) in {"val": (validation, evaluate_run(slow_run, split="val")), "test": (test, after)}.items():
        said = record["splits"][split]
        assert (said["count"], said["accuracy"]) == (old.result.count, old.result.accuracy)
        assert said["loss"] == pytest.approx([old.result.loss, new.result.loss], rel=1e-5)
        assert said["ece"] == pytest.approx([old.result.ece(), new.result.ece()], abs=1e-5)
        assert said["brier"] == pytest.approx([old.result.brier, new.result.brier], rel=1e-4)
    assert calibrate_run(slow_run) == record  # fitted anew to the outputs themselves


def test_a_temperature_is_for_the_weights_and_the_network_it_was_fitted_to(slow_run):
    calibrate_run(slow_run)
    record = open_run(slow_run).record("calibration")
    edited = evaluate_run(slow_run, edits=["low_rank=0.5"])
    assert edited.subject.temperature == 1
    assert edited.subject.warnings[-1].endswith(f"step {record['step']}; this network is edited: not used")
    open_run(slow_run).write_record("calibration", record | {"step": 3})
    stale = evaluate_run(slow_run)
    assert stale.subject.temperature == 1
    assert stale.subject.warnings == (
        f"the temperature in {slow_run} is for its weights of step 3; these are of step {record['step']}: not used",
    )
    for broken in ({"temperature": -1.0, "step": 3}, {"temperature": "1"}, {"step": 3}):
        open_run(slow_run).write_record("calibration", broken)
        with pytest.raises(BadFile, match=r"calibration.json: expected a temperature above 0 and a step, received"):
            evaluate_run(slow_run)


def test_a_run_that_is_being_trained_is_not_calibrated(slow_run):
    open_run(slow_run).set_status("running", pid=os.getpid(), host=os.uname().nodename, process_start=None)
    with pytest.raises(UsageError, match="is being trained: its temperature would be for other weights"):
        calibrate_run(slow_run)
    assert not (slow_run / "calibration.json").exists()


def test_runs_compared(digit_runs, evaluated):
    found = compare_runs(digit_runs)
    assert [e.result for e in found.evaluated] == [e.result for e in evaluated]
    (group,) = found.repeats
    assert group.members == (0, 1)
    accuracies = [e.result.accuracy for e in evaluated[:2]]
    assert group.numbers["accuracy"].mean == pytest.approx(statistics.mean(accuracies))
    assert group.numbers["accuracy"].deviation == pytest.approx(statistics.stdev(accuracies))
    right = [e.result.samples.right for e in evaluated]
    for pair, other in zip(found.pairs, right[1:], strict=True):
        assert pair.gained == (other & ~right[0]).sum()
        assert pair.lost == (right[0] & ~other).sum()
        assert pair.difference == pytest.approx(other.mean() - right[0].mean())
        assert pair.interval[0] <= pair.difference <= pair.interval[1]
    assert found.pairs[1].p_value < 0.01 < 0.05 < found.pairs[0].p_value
    assert found.differences == {"seed": (0, 1, 0), "optimizer.lr": (0.05, 0.05, 0.004)}
    assert found.unpaired == ""


def test_runs_on_other_images_are_compared_without_a_paired_test(digit_runs, photo_run):
    found = compare_runs([digit_runs[0], photo_run[0]])
    assert (found.pairs, found.repeats) == ((), ())
    assert "have other classes" in found.unpaired
    assert "network" in found.differences
    assert "name" not in found.differences


def test_recipes_that_are_the_same_differ_in_nothing(digit_runs):
    recipe = run_recipe(digit_runs[0])
    assert recipe_differences([recipe, replace(recipe, name="other")]) == {}
    assert recipe_differences([recipe, recipe.edit(data__split_seed=4)]) == {"data.split_seed": (0, 4)}

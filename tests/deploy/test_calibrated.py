"""A calibrated run: what `predict` and the exported file make of its temperature."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import convsmith as cs
from convsmith.work.evaluate import calibrate_run


@pytest.fixture
def calibrated(digit_runs, tmp_path):
    """A calibrated copy of a run, and the run as it was."""
    path = Path(shutil.copytree(digit_runs[2], tmp_path / "slow"))
    calibrate_run(path)
    return cs.load(path), cs.load(digit_runs[2])


def pictures(run):
    examples = run.evaluate().examples
    return [np.asarray(examples.read(i)) for i in range(20)]


def test_predictions_have_the_probabilities_of_eval_and_the_order_of_before(calibrated):
    run, before = calibrated
    images, result = pictures(run), run.evaluate().result
    new, old = (r.predict(images, top=10) for r in (run, before))
    assert [p.probability for p in new] == pytest.approx(list(result.probability[:20]), abs=1e-5)
    assert [[g.label for g in p.top] for p in new] == [[g.label for g in p.top] for p in old]
    temperature = run.directory.record("calibration")["temperature"]
    logarithms = np.log([g.probability for g in old[0].top]) / temperature
    shares = np.exp(logarithms) / np.exp(logarithms).sum()
    assert [g.probability for g in new[0].top] == pytest.approx(shares.tolist(), rel=1e-3)


def test_the_command_says_that_probabilities_are_calibrated(calibrated, command, tmp_path):
    run, before = calibrated
    Image.fromarray(pictures(run)[0].squeeze()).save(tmp_path / "digit.png")
    temperature = run.directory.record("calibration")["temperature"]
    said = f"probabilities are calibrated: the outputs are divided by {temperature:.4g}\n"
    assert command("predict", run.path, tmp_path / "digit.png").err == said
    assert command("predict", run.path, tmp_path / "digit.png", "--quiet").err == ""
    assert command("predict", before.path, tmp_path / "digit.png").err == ""


def test_the_exported_logits_are_not_divided_and_the_file_says_by_what(calibrated, command):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    run, _ = calibrated
    temperature = run.directory.record("calibration")["temperature"]
    answer = command("export", run.path)
    assert f"  logits are not divided by the run's temperature {temperature:.4g}, which the metadata has" in answer.out
    (entry,) = (p.value for p in onnx.load(run.path / "export" / "model.onnx").metadata_props if p.key == "convsmith")
    assert json.loads(entry)["temperature"] == temperature

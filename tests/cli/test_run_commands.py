"""`eval`, `predict` and `export` on a finished run: JSON, text, exit statuses, mistakes."""

import csv
import json

import onnx
import pytest

from convsmith.runs.directory import RunDirectory


def test_eval_json(command, photo_run):
    answer = command("eval", photo_run[0], "--json")
    assert (answer.code, answer.err) == (0, "")
    assert list(answer.json) == [
        "accuracy", "top5", "loss", "count", "interval", "precision", "recall", "f1", "balanced_accuracy", "auc", "ece",
        "brier", "per_class", "confusion", "reliability", "split", "step", "temperature",
    ]  # fmt: skip
    assert all(list(c) == ["label", "precision", "recall", "f1", "support"] for c in answer.json["per_class"])
    assert (answer.json["count"], answer.json["split"], answer.json["step"]) == (6, "test", 18)
    assert sum(map(sum, answer.json["confusion"])) == 6


def test_eval_for_people(command, photo_run):
    text = command("eval", photo_run[0], "--split", "train").out
    numbers = command("eval", photo_run[0], "--split", "train", "--json").json
    assert text.startswith(
        f"{photo_run[0]} on train: 48 images, weights of step 18\naccuracy  {numbers['accuracy']:.2%}"
    )
    assert all(label in text for label in ("bent", "flat", "round"))


@pytest.mark.parametrize("checkpoint", ["selected", "last", "best"])
def test_eval_of_each_checkpoint(checkpoint, command, photo_run):
    step = json.loads((photo_run[0] / f"{'best' if checkpoint == 'best' else 'last'}.json").read_text())["step"]
    assert command("eval", photo_run[0], "--checkpoint", checkpoint, "--json").json["step"] == step


def test_eval_of_other_images(command, photo_run, write_pictures, tmp_path):
    other = write_pictures(tmp_path / "other", 7)
    answer = command("eval", photo_run[0], "--data", other, "--json").json
    assert (answer["count"], answer["split"]) == (21, f"all of {other}")


def test_eval_of_the_runs_own_images_elsewhere_counts_none_that_it_was_trained_on(command, photo_run, shared_pictures):
    answer = command("eval", photo_run[0], "--data", shared_pictures, "--json").json
    assert (answer["count"], answer["split"]) == (6, "test")
    assert answer == command("eval", photo_run[0], "--json").json


def test_eval_of_a_damaged_newest_checkpoint_says_so_and_uses_the_one_before(command, own_run):
    newest = sorted((own_run / "checkpoints").iterdir())[-1] / "model.safetensors"
    newest.write_bytes(newest.read_bytes()[:-1])
    answer = command("eval", own_run, "--json")
    assert answer.code == 0
    assert answer.err.startswith(f"warning: {newest} is damaged (expected ")
    assert answer.json["step"] < 18


def test_edits_that_need_no_training_are_made_on_the_trained_network(command, photo_run):
    plain = command("eval", photo_run[0], "--json").json
    folded = command("eval", photo_run[0], "--edit", "fold_norm", "--json")
    assert folded.code == 0
    assert folded.json["confusion"] == plain["confusion"]
    assert folded.json["loss"] == pytest.approx(plain["loss"], rel=1e-4)
    files = sorted(photo_run[1].rglob("*.png"))[:2]
    a, b = (command("predict", photo_run[0], *files, "--json", *more).json for more in ((), ("--edit", "fold_norm")))
    assert [p["top"][0]["label"] for p in a] == [p["top"][0]["label"] for p in b]


def test_export_of_the_folded_network(command, photo_run, tmp_path):
    answer = command("export", photo_run[0], "--edit", "fold_norm", "--out", tmp_path / "folded.onnx", "--json")
    assert answer.code == 0
    operators = {node.op_type for node in onnx.load(tmp_path / "folded.onnx").graph.node}
    assert "Conv" in operators
    assert "BatchNormalization" not in operators


@pytest.mark.parametrize(
    ("text", "code", "reason"),
    [
        ("se=4", 1, "has no weights for 12 tensors, the first 'stage1.unit1.branch.se.conv1.bias'; train it instead"),
        ("size=64", 2, "edit: size=64 changes the input or the outputs, which are the run's"),
        ("foldnorm", 2, "unknown edit 'foldnorm'; nearest: fold_norm"),
    ],
)
def test_other_edits_of_a_trained_network_are_refused(text, code, reason, command, photo_run):
    answer = command("eval", photo_run[0], "--edit", text)
    assert answer.code == code
    assert reason in answer.err


def test_predict_json(command, photo_run):
    files = sorted(photo_run[1].rglob("*.png"))[::20]
    answer = command("predict", photo_run[0], *files, "--json")
    assert (answer.code, answer.err) == (0, "")
    assert [list(p) for p in answer.json] == [["file", "top"]] * 3
    assert [p["file"] for p in answer.json] == list(map(str, files))
    assert all(list(g) == ["label", "probability"] for p in answer.json for g in p["top"])
    assert [len(p["top"]) for p in answer.json] == [3, 3, 3]
    (single,) = command("predict", photo_run[0], files[1], "--top", 1, "--json").json
    assert single["top"] == answer.json[1]["top"][:1]


def test_predict_files_folders_and_patterns(command, photo_run):
    run, folder = photo_run
    lines = command("predict", run, folder / "bent").out.splitlines()
    assert len(lines) == 20
    assert lines[0].startswith(f"{folder / 'bent' / '000.png'}: ")
    assert len(command("predict", run, folder, "--json").json) == 60
    assert len(command("predict", run, str(folder / "*" / "00*.png"), "--json").json) == 30
    rows = list(csv.DictReader(command("predict", run, folder / "bent", "--csv").out.splitlines()))
    assert list(rows[0]) == ["file", "rank", "label", "probability", "error"]
    assert [row["rank"] for row in rows] == ["1", "2", "3"] * 20
    assert sum(float(row["probability"]) for row in rows) == pytest.approx(20, abs=1e-3)


def test_predict_with_one_broken_file_answers_the_others(command, photo_run, broken):
    folder, bad = broken
    answer = command("predict", photo_run[0], folder, "--json")
    assert answer.code == 1
    failed = [p for p in answer.json if "error" in p]
    assert (len(answer.json), [p["file"] for p in failed]) == (60, [str(bad)])
    answer = command("predict", photo_run[0], folder)
    assert (answer.code, answer.out.count("\n")) == (1, 59)
    assert answer.err.startswith(f"convsmith: {bad}: the image is cut short or damaged")
    assert answer.err.count("\n") == 1
    rows = list(csv.DictReader(command("predict", photo_run[0], folder, "--csv").out.splitlines()))
    assert [row["file"] for row in rows if row["error"]] == [str(bad)]


def test_export(command, own_run):
    pytest.importorskip("onnxscript")
    answer = command("export", own_run, "--to", "onnx")
    assert (answer.code, answer.err) == (0, "")
    path = own_run / "export" / "model.onnx"
    assert answer.out.startswith(f"{path}  ")
    assert "  batch 7: largest difference " in answer.out
    assert "7/7 same class" in answer.out
    assert json.loads((own_run / "export" / "model.onnx.report.json").read_text())["ok"]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["eval"], 2, "eval: the following arguments are required: RUN"),
        (["eval", "nowhere"], 2, "nowhere: no such run"),
        (["eval", "{folder}"], 1, "{folder}: is not a run directory: run.json is missing"),
        (["eval", "{run}", "--split", "tset"], 2, "eval: argument --split: invalid choice: 'tset'"),
        (["eval", "{run}", "--data", "digits"], 2, "digits: class '0' is "),
        (["eval", "{run}", "--data", "nowhere"], 2, "no such path, and no data set of this name: 'nowhere'"),
        (["eval", "{run}", "--device", "tpu"], 2, "engine.device: expected"),
        (["eval", "{run}", "--batch", "3"], 2, "eval: unknown option --batch"),
        (["predict"], 2, "predict: the following arguments are required: run, IMAGE"),
        (["predict", "{run}"], 2, "predict: the following arguments are required: IMAGE"),
        (["predict", "nowhere", "{image}"], 2, "nowhere: no such run"),
        (["predict", "{run}", "nowhere.png"], 2, "nowhere.png: no such file, folder or match"),
        (["predict", "{run}", "{run}"], 1, "{run}: holds no images"),
        (["predict", "{run}", "{image}", "--top", "0"], 2, "predict: --top must be at least 1, received 0"),
        (["predict", "{run}", "{image}", "--csv", "--json"], 2, "predict: choose one of --csv and --json"),
        (["export", "nowhere"], 2, "nowhere: no such run"),
        (["export", "{run}", "--to", "coreml"], 2, "export: there is no format coreml; there are onnx, bundle,"),
        (["export", "{run}", "--out", "model.pt"], 2, "model.pt: expected a file name that ends in .onnx"),
        (["export", "{run}", "--tolerance", "small"], 2, "export: argument --tolerance: invalid float value: 'small'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_one_line_for_each_mistake(words, code, message, refused, photo_run, here):
    names = {"run": photo_run[0], "folder": photo_run[1], "image": photo_run[1] / "bent" / "000.png"}
    received = refused(*(word.format(**names) for word in words), code=code)
    assert received.startswith(message.format(**names))


def test_damaged_runs(refused, own_run, photo_run):
    image = photo_run[1] / "bent" / "000.png"
    for file in own_run.rglob("model.safetensors"):
        file.write_bytes(b"\0" * file.stat().st_size)
    for verb in (["eval"], ["predict", image], ["export"]):
        message = refused(verb[0], own_run, *verb[1:], code=1, watched=own_run)
        assert message.startswith(f"{own_run / 'checkpoints'}: holds no intact checkpoint; tried: ")
    (own_run / "network.json").write_text("{")
    assert refused("eval", own_run, code=1).startswith(f"{own_run / 'network.json'}: expected JSON, could not read it")
    (own_run / "run.json").write_text('{"format": 99}')
    assert "is a run of format 99, this Convsmith reads format 1; update Convsmith" in refused("eval", own_run, code=1)


def test_a_run_whose_data_changed_still_predicts_but_does_not_evaluate(command, refused, own_run, photo_run, pictures):
    recipe = json.loads((own_run / "recipe.json").read_text())
    recipe["recipe"]["data"]["source"] = str(pictures)
    RunDirectory(own_run).write_record("recipe", recipe)
    assert command("eval", own_run, "--json").code == 0  # the same images elsewhere
    changed = pictures / "bent" / "000.png"
    changed.write_bytes((pictures / "flat" / "001.png").read_bytes())
    assert refused("eval", own_run, code=1).startswith(f"{pictures}: the data has changed since the run ")
    assert command("predict", own_run, changed).code == 0


def test_a_run_without_any_checkpoint(refused, own_run):
    import shutil

    shutil.rmtree(own_run / "checkpoints")
    for pointer in ("last", "best"):
        (own_run / f"{pointer}.json").unlink()
    message = refused("eval", own_run, code=1)
    assert message.startswith(f"{own_run / 'checkpoints'}: holds no checkpoint; the run ended before its first one")

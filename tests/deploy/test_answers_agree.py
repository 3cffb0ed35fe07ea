"""Evaluation, prediction, the Python calls and ONNX give the same answer for the same image."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

import convsmith as cs
from convsmith.base.errors import BadFile, CheckFailed, MissingPath, UsageError
from convsmith.data.preprocess import ImageInput, load
from convsmith.engines.graph import onnx_program
from convsmith.nets.modules.build import build
from convsmith.nets.zoo import edit, network

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


@pytest.fixture(scope="module")
def run(photo_run):
    return cs.load(photo_run[0])


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    return path, run.export(path)


def names(evaluated):
    return [evaluated.examples.name(i) for i in range(len(evaluated.examples))]


def test_prediction_evaluation_and_onnx_are_one(run, exported):
    """On 48 images that training saw and 12 that it did not."""
    session = onnxruntime.InferenceSession(exported[0], providers=["CPUExecutionProvider"])
    record = json.loads(session.get_modelmeta().custom_metadata_map["convsmith"])
    preprocess, labels = ImageInput.from_json(record["preprocess"]), record["labels"]
    total = 0
    for split in ("train", "val", "test"):
        evaluated = run.evaluate(split)
        files, result = names(evaluated), evaluated.result
        predicted = run.predict(files)
        assert [p.file for p in predicted] == files
        assert [p.label for p in predicted] == [labels[i] for i in result.predicted]
        assert [p.probability for p in predicted] == pytest.approx(result.probability, abs=1e-5)
        # What the file's own metadata says suffices to prepare an image for it.
        inputs = np.stack([load(file, preprocess) for file in files])
        (logits,) = session.run(None, {"images": inputs})
        assert logits.argmax(1).tolist() == list(result.predicted)
        shifted = np.exp(logits - logits.max(1, keepdims=True))
        assert (shifted / shifted.sum(1, keepdims=True)).max(1) == pytest.approx(result.probability, abs=1e-4)
        total += len(files)
    assert total == 60


def test_paths_images_and_arrays_are_one(run, photo_run):
    files = sorted(photo_run[1].rglob("*.png"))[::7]
    images = [Image.open(file) for file in files]
    expected = [(p.label, p.probability) for p in run.predict(files)]
    for pictures in (map(str, files), images, [np.asarray(image) for image in images]):
        found = [(p.label, p.probability) for p in run.predict(pictures)]
        assert [label for label, _ in found] == [label for label, _ in expected]
        assert [share for _, share in found] == pytest.approx([share for _, share in expected], abs=1e-6)
    for one in (files[0], str(files[0]), images[0], np.asarray(images[0])):
        (prediction,) = run.predict(one)
        assert (prediction.label, pytest.approx(prediction.probability)) == expected[0]


def test_folders_and_patterns(run, photo_run):
    folder = photo_run[1]
    assert [p.file for p in run.predict(folder)] == [str(p) for p in sorted(folder.rglob("*.png"))]
    assert [p.file for p in run.predict(str(folder / "bent" / "00*.png"))] == [
        str(folder / "bent" / f"00{i}.png") for i in range(10)
    ]


def test_top(run, photo_run):
    file = photo_run[1] / "flat" / "003.png"
    (three,), (one,) = run.predict(file), run.predict(file, top=1)
    assert sum(guess.probability for guess in three.top) == pytest.approx(1)
    assert [g.probability for g in three.top] == sorted((g.probability for g in three.top), reverse=True)
    assert {g.label for g in three.top} == {"bent", "flat", "round"}
    assert one.top == three.top[:1]


def test_a_picture_that_cannot_be_read_has_its_error_and_the_others_their_answers(run, photo_run, tmp_path):
    good = photo_run[1] / "flat" / "003.png"
    bad = tmp_path / "bad.png"
    bad.write_bytes(good.read_bytes()[:50])
    first, broken, gone, last = run.predict([good, bad, np.zeros((3, 3, 3), np.uint8), good])
    assert first.label == last.label
    assert broken.top == ()
    assert broken.error.startswith(f"{bad}: ")
    assert broken.to_json() == {"file": str(bad), "top": [], "error": broken.error}
    with pytest.raises(UsageError, match="has no prediction: "):
        _ = broken.label
    assert gone.error is None


@pytest.mark.parametrize(
    ("picture", "kind", "message"),
    [
        ("nowhere.png", MissingPath, "nowhere.png: no such file, folder or match; give images to look at"),
        (
            np.full((3, 3), 2.0),
            UsageError,
            "^the picture: expected floating-point numbers from 0 to 1, received float64 from 2 to 2; ",
        ),
        (
            np.zeros((2, 2, 2)),
            UsageError,
            r"expected an array \(H, W\), \(H, W, 1\), \(H, W, 3\) or \(H, W, 4\), received shape \(2, 2, 2\)$",
        ),
    ],
    ids=["path", "values", "shape"],
)
def test_pictures_that_are_none(picture, kind, message, run):
    with pytest.raises(kind, match=message):
        run.predict(picture)


def test_a_folder_without_images(run, tmp_path):
    with pytest.raises(BadFile, match="holds no images"):
        run.predict(tmp_path)


def test_no_pictures_no_predictions(run):
    assert run.predict([]) == []


def test_evaluation_by_the_call_and_by_the_command_is_one(run, command):
    assert run.evaluate().result == run.evaluate("test").result
    stored = run.result["metrics"]["test"]
    assert json.loads(json.dumps(run.evaluate("test").result.to_json())) == stored
    answer = command("eval", run.path, "--json").json
    assert {key: answer[key] for key in stored} == stored


def test_other_images_are_matched_by_class_name(run, write_pictures, tmp_path):
    # Only two of the classes, and so numbered otherwise.
    fewer = write_pictures(tmp_path / "fewer", 20)
    (fewer / "bent").rename(tmp_path / "bent")
    result = run.evaluate(data=str(fewer)).result
    splits = [run.evaluate(split).result.confusion for split in ("train", "val", "test")]
    whole = np.sum(splits, axis=0).tolist()
    assert result.count == 40
    assert list(map(list, result.confusion)) == [[0, 0, 0], *whole[1:]]
    (fewer / "flat").rename(fewer / "square")
    with pytest.raises(UsageError, match=r"class 'square' is .*bent, flat, round"):
        run.evaluate(data=str(fewer))


# -------------------------------------------------------------------------------------------------------- ONNX


def test_the_export_is_compared_at_several_batch_sizes(exported):
    path, export = exported
    assert export.ok
    assert (export.path, export.bytes) == (str(path), path.stat().st_size)
    assert [c.batch for c in export.comparisons] == [1, 2, 7]
    assert all(c.difference <= 1e-4 and c.same_class == c.images for c in export.comparisons)
    report = json.loads((path.parent / "model.onnx.report.json").read_text())
    assert report == json.loads(json.dumps(export.to_json()))


def test_the_file_says_what_it_needs(exported, run):
    model = onnx.load(exported[0])
    onnx.checker.check_model(model, full_check=True)
    (images,), (logits,) = model.graph.input, model.graph.output
    shape = [d.dim_param or d.dim_value for d in images.type.tensor_type.shape.dim]
    assert (images.name, logits.name, shape[1:]) == ("images", "logits", [3, 12, 12])
    assert isinstance(shape[0], str)
    (entry,) = (p.value for p in model.metadata_props if p.key == "convsmith")
    record = json.loads(entry)
    assert record["preprocess"] == run.directory.record("preprocess")
    assert record["labels"] == ["bent", "flat", "round"]
    assert (record["run"], record["step"]) == (run.path.name, 18)
    assert record["network"]["family"] == "resnet_cifar"


def test_plain_dropout_scales_in_the_exported_file_too():
    tree = edit(network("lenet5"), "dropout(0.4, head, plain)")
    module = build(tree, seed=0).eval()
    program = onnx_program(module, tuple(tree.input))
    session = onnxruntime.InferenceSession(program.model_proto.SerializeToString(), providers=["CPUExecutionProvider"])
    images = torch.randn(3, *tree.input, generator=torch.Generator().manual_seed(0))
    (found,) = session.run(None, {"images": images.numpy()})
    with torch.no_grad():
        expected, undropped = module(images), build(network("lenet5"), seed=0).eval()(images)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    # The last layer gets 0.6 of what it gets without dropout.
    bias = module.head.linear2.bias.detach()
    np.testing.assert_allclose(found, bias + 0.6 * (undropped - bias), rtol=1e-4, atol=1e-5)


def test_above_the_tolerance_there_is_no_file(photo_run, refused, tmp_path):
    out = tmp_path / "new" / "model.onnx"
    message = refused("export", photo_run[0], "--tolerance", "0", "--out", out, code=1, watched=tmp_path)
    assert message.startswith(f"{out}: not written, since ONNX Runtime's outputs differ from the network's by ")
    assert "(tolerance 0e+00)" in message


def test_an_export_that_fails_leaves_the_earlier_file(run, tmp_path):
    from convsmith.deploy.onnx import export_onnx
    from convsmith.work.evaluate import own_split

    path = tmp_path / "model.onnx"
    path.write_bytes(b"earlier")
    subject = run.subject()
    with pytest.raises(CheckFailed):
        export_onnx(subject, own_split(subject, "val")[1], path, tolerance=0)
    assert path.read_bytes() == b"earlier"


def test_wrong_names_and_formats(run, tmp_path):
    with pytest.raises(UsageError, match=r"expected a file name that ends in .onnx"):
        run.export(tmp_path / "model.pt")
    with pytest.raises(UsageError, match="unknown export format 'torchscript'"):
        run.export(to="torchscript")

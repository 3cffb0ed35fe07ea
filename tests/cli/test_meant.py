"""What people type before they read any help: the answer has the command as it is written here."""

import io
import shlex
import shutil
import sys
from pathlib import Path

import pytest

import convsmith as cs
from convsmith.base.errors import UnknownName
from convsmith.cli import SYNONYMS, VERBS
from convsmith.cli.fields import edited, recipe_words
from convsmith.cli.train import _parser
from convsmith.data.sources.opening import KNOWN
from convsmith.recipes import words
from convsmith.recipes.meant import meant
from convsmith.recipes.recipe import Recipe

# What is typed, and the command that the answer names.
TYPED = {
    "train photos/ --model resnet18": "train photos/ --network resnet18",
    "train photos/ --imgsz 64": "train photos/ --size 64",
    "train photos/ --batch_size 8": "train photos/ --batch 8",
    "train photos/ --batch-size=8": "train photos/ --batch 8",
    "train photos/ -b 8 -j 4": "train photos/ --batch 8 --workers 4",
    "train photos/ --val-split 0.2": "train photos/ --data.split 80/20/0",
    "train photos/ --validation_split 25": "train photos/ --data.split 75/25/0",
    "train data=photos model=resnet18 epochs=3": "train --data photos --network resnet18 --epochs 3",
    "train data=photos model=resnet18 epochs=3 imgsz=64 batch=8 lr0=0.1 optimizer=AdamW patience=4 amp=True": (
        "train --data photos --network resnet18 --epochs 3 --size 64 --batch 8 --lr 0.1 --optimizer.kind AdamW "
        "--early_stopping.patience 4ep --precision bf16"
    ),
    "yolo classify train data=photos epochs=3": "train --data photos --epochs 3",
    "classify train data=photos epochs=3": "train --data photos --epochs 3",
    "train photos/ --optimizer adam": "train photos/ --optimizer.kind adam",
    "train photos/ --weight-decay 1e-4": "train photos/ --optimizer.weight_decay 1e-4",
    "train photos/ --wd 1e-4": "train photos/ --optimizer.weight_decay 1e-4",
    "train photos/ --patience 5": "train photos/ --early_stopping.patience 5ep",
    "train photos/ --patience 5ep": "train photos/ --early_stopping.patience 5ep",
    "train photos/ --early-stopping": "train photos/ --early_stopping.patience 5ep",
    "train photos/ --mixup 0.2": "train photos/ --augment 'resized_crop,flip,mixup(0.2)'",
    "train photos/ --mixup 0.2 --cutmix 1 --reprob 0.25": (
        "train photos/ --augment 'resized_crop,flip,mixup(0.2),cutmix(1),erase(0.25)'"
    ),
    "train photos/ --aa rand-m9-mstd0.5": "train photos/ --augment resized_crop,flip,randaugment",
    "train photos/ --gpus 1": "train photos/ --device cuda",
    "train photos/ --gpus 2": "train photos/ --device cuda --nproc 2",
    "train photos/ --num-gpus 0": "train photos/ --device cpu",
    "train photos/ --gpu 1": "train photos/ --device cuda:1",
    "train photos/ --max-time 20min": "train photos/ --within 20min",
    "train photos/ --budget 90s": "train photos/ --within 90s",
    "train photos/ --time 0.5": "train photos/ --within 0.5h",
    "train photos/ --time 30min": "train photos/ --within 30min",
    "train photos/ --amp": "train photos/ --precision bf16",
    "train photos/ --freeze 2": "finetune resnet18 --pretrained --data photos/ --mode partial --unfreeze 1",
    "train --data photos/ --freeze_backbone": (
        "finetune resnet18 --pretrained --data photos/ --mode partial --unfreeze 1"
    ),
    "train photos/ --class-weights balanced": "train photos/ --loss.class_weights balanced",
    "train photos/ --classes cat,dog": "train photos/ --data.classes cat,dog",
    "train photos/ --num-classes 10": "train photos/",
    "train photos/ --n-epochs 3 --learning-rate 0.1": "train photos/ --epochs 3 --lr 0.1",
    "train photos/ --momentum 0.8": "train photos/ --optimizer.momentum 0.8",
    "train photos/ --betas 0.9 0.95": "train photos/ --optimizer.momentum 0.9 --optimizer.beta2 0.95",
    "train photos/ --clip-grad 1 --grad-accum-steps 4": "train photos/ --optimizer.clip 1 --optimizer.accumulate 4",
    "train photos/ --sched cosine --warmup-epochs 5": "train photos/ --schedule.kind cosine --schedule.warmup 5ep",
    "train photos/ --ema": "train photos/ --optimizer.average 'ema(0.999)'",
    "train photos/ --dropout 0.5": "train photos/ --edit dropout=0.5",
    "train photos/ --gpus 0": "train photos/ --device cuda:0",
    "train photos/ --output runs/x": "train photos/ --out runs/x",
    "train --data-path photos/ --arch resnet18": "train --data photos/ --network resnet18",
    "train photos/ --folds 5": "train photos/ --kfold 5",
    "train photos/ --test-only": "eval RUN",
    "train photos/ --config args.yaml": "train recipe.json",
    "train photos/ --out 'my run' --imgsz 64": "train photos/ --out 'my run' --size 64",
    "finetune {run} --data photos/ --batch-size 8": "finetune {run} --data photos/ --batch 8",
    "predict photo.png": "predict {run} photo.png",
    "predict {run}/best.pt photo.png": "predict {run} photo.png",
    "predict {run}/weights/best.pt photo.png": "predict {run} photo.png",
    "predict photo.png {run}": "predict {run} photo.png",
    "predict {run} --source photo.png": "predict {run} photo.png",
    "predict --model {run} photo.png": "predict {run} photo.png",
    "predict --model {run} --source photo.png": "predict {run} photo.png",
    "predict model={run} source=photo.png": "predict {run} photo.png",
    "predict {run} photo.png --output out.csv": "predict {run} photo.png --csv > out.csv",
    "predict {run} photo.png --save": "predict {run} photo.png --csv > answers.csv",
    "predict {run} photo.png --topk 3 --imgsz 224": "predict {run} photo.png --top 3",
    "predict {run} photo.png --conf 0.5": "predict {run} photo.png --threshold 0.5",
    "eval --model {run} --data-path photos/": "eval {run} --data photos/",
    "eval {run}/last.pt": "eval {run}",
    "eval {run} --batch-size 8": "eval {run}",
    "export {run} onnx": "export {run} --to onnx",
    "export {run} --format onnx": "export {run} --to onnx",
    "export {run} --format safetensors": "export {run} --to bundle",
    "export {run} --format pth": "export {run} --to torchvision",
    "export model={run} format=onnx": "export {run} --to onnx",
    "export {run} --format torchscript": "export {run} --to onnx",
    "export {run} torchscript": "export {run} --to onnx",
    "export {run} --to engine": "export {run} --to onnx",
    "export {run} --to PTH": "export {run} --to torchvision",
    "export {run} -o m.onnx": "export {run} --out m.onnx",
    "export {run}/best.pt --format onnx --imgsz 224": "export {run} --to onnx",
    "split photos": "train --data photos --data.split 80/10/10",
    "plot {run}": "eval {run} --plot reliability.svg",
    "metrics {run}": "eval {run}",
    "confusion_matrix {run}": "eval {run}",
    "calibrate {run}": "eval {run} --calibrate",
    "convert {run}": "export {run} --to onnx",
    "stats photos": "data stats photos",
    "continue {run}": "train --resume {run}",
    "layers resnet18": "show resnet18 --layers",
    "settings": "recipes",
    "checks": "doctor",
}  # fmt: skip


@pytest.fixture
def place(here, photo_run) -> Path:
    """A folder with a finished run in runs/, and a picture."""
    run = Path(shutil.copytree(photo_run[0], here / "runs" / "done"))
    shutil.copy(next(photo_run[1].rglob("*.png")), here / "photo.png")
    return run.relative_to(here)


@pytest.mark.parametrize("typed", TYPED)
def test_the_answer_names_the_command(typed, place, refused):
    said = refused(*shlex.split(typed.format(run=place)))
    assert said.endswith(f"; try: convsmith {TYPED[typed].format(run=place)}")


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("train --optimizer adam", "train: unknown option --optimizer; here it is --optimizer.kind adam; try: "),
        ("train --num-classes 3", "train: unknown option --num-classes; not needed: the classes are those of the data"),
        ("train --sampling balanced", "train: unknown option --sampling; here it is --data.sampling natural|balanced"),
        ("train --momentm 0.9", "train: unknown option --momentm; nearest: --optimizer.momentum number"),
        (
            "train --optimzer adam",
            "train: unknown option --optimzer; nearest: --optimizer.kind sgd|adam|adamw|rmsprop|lamb|muon, ",
        ),
        ("finetune {run} --wieght-decay 1", "finetune: unknown option --wieght-decay; nearest: --optimizer.weight_"),
        ("train --maxtime 3min", "train: unknown option --maxtime; nearest: --within 10min, "),
        ("train --mixp 0.2", "train: unknown option --mixp; nearest: --augment mixup(0.2), "),
        ("train --epohcs 3", "train: unknown option --epohcs; nearest: --epochs, --optimizer.eps "),
        ("train --lerning-rate 1", "train: unknown option --lerning-rate; nearest: --lr 0.01, "),
        ("predict {run} x --confidnce 1", "predict: unknown option --confidnce; nearest: --threshold 0.5"),
        ("predict {run} x --topp 3", "predict: unknown option --topp; nearest: --top"),
        ("train --smothing 0.9", "train: unknown option --smothing; nearest: --early_stopping.smoothing number"),
        ("train --frobnicate", "train: unknown option --frobnicate; see --help"),
        ("train --resume", "train: --resume needs a run; no run in runs/ is unfinished"),
        (
            "export {run} --format torchscript",
            "export: unknown option --format; there is no format torchscript; there are onnx, bundle, torchvision, "
            "timm (torch's own programs read the weights of torchvision or timm, others the ONNX file); try: ",
        ),
        (
            "export {run} coreml",
            "export: there is no format coreml; there are onnx, bundle, torchvision, timm (its own converter makes it "
            "from the ONNX file); try: ",
        ),
        ("export {run} --to openvino", "export: there is no format openvino; there are onnx, bundle, torchvision, "),
        ("export model={run} format=ncnn", "export: there is no format ncnn; there are onnx, bundle, torchvision, "),
        ("export {run} --to xyz", "export: there is no format xyz; there are onnx, bundle, torchvision, timm; try: "),
        ("export {run} xyz", "export: one argument too many: 'xyz'"),
        (
            "predict {run} https://x.org/a.png",
            "https://x.org/a.png: is an address, and nothing is fetched that was not",
        ),
        ("predict {run} x --source", "predict: unknown option --source; said by its place: images come after the run"),
    ],
)
def test_answers(typed, said, place, refused):
    assert refused(*shlex.split(typed.format(run=place))).startswith(said)


def test_resume_alone_names_the_newest_unfinished_run(place, refused, command):
    from convsmith.runs.directory import open_run
    from convsmith.runs.sealed import seal

    for name in ("old", "new"):
        other = Path(shutil.copytree(place, Path("runs") / name))
        head = other / "run.json"
        created = {"old": 2.0, "new": 3.0}[name] + open_run(other).record("run")["created"]
        head.write_text(seal(open_run(other).record("run") | {"created": created}))
        open_run(other).set_status("stopped")
    expected = "train: --resume needs a run; the newest that is not finished: convsmith train --resume runs/new"
    assert refused("train", "--resume") == expected
    assert command("resume").err.endswith(f"convsmith: {expected}\n")


def test_without_a_run_there_is_none_to_name(here, refused):
    assert refused("predict", "photo.png").endswith("; try: convsmith predict RUN photo.png")


def test_what_is_right_is_left_alone(place, photo_run, command):
    for typed in (
        ["predict", place, "photo.png"],
        ["predict", place, photo_run[1] / "bent"],
        ["eval", place],
        ["show", place],
        ["train", "--help-all"],
    ):
        assert command(*typed).code == 0
    shutil.copy("photo.png", "model=x.png")
    assert command("predict", place, "model=x.png").code == 0


@pytest.mark.parametrize("key", [*words.OPTIONS, *words.STEPS, *words.SHARES, *words.POLICY_WORDS])
def test_every_answer_for_train_is_a_command_that_is_read(key):
    """The suggested command is parsed as `train` parses it, with and without a value that was typed."""
    known = {o: a.nargs != 0 for a in _parser()._actions for o in a.option_strings}
    found = meant("train", ["photos/", f"--{key}"], known)
    if found is None:
        assert f"--{key}" in known or key in {path for path, *_ in cs.recipes.recipe.options(Recipe())}
        return
    typed = shlex.split(found.command)
    if typed[:2] != ["convsmith", "train"]:
        assert typed[1] in VERBS
        return
    rest, fields = recipe_words(typed[2:])
    values = _parser().read(rest, typed[2:])
    if values.resume is None:
        edited(Recipe(), values, fields)


@pytest.mark.parametrize("word", words.VERBS)
def test_every_answer_for_a_verb_is_one_of_ours(word):
    assert word not in {*VERBS, *SYNONYMS, *KNOWN}
    assert words.VERBS[word].here.split()[:1] == ["convsmith"]
    assert words.VERBS[word].here.split()[1] in VERBS


def test_an_image_on_standard_input(place, command, monkeypatch):
    content = Path("photo.png").read_bytes()
    expected = command("predict", place, "photo.png", "--json").json[0]["top"]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    (found,) = command("predict", place, "-", "--json").json
    assert found == {"file": "-", "top": expected}
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"no image")))
    answer = command("predict", place, "-", "photo.png")
    assert answer.code == 1
    assert answer.err.startswith("convsmith: an image of 8 bytes: not an image")
    assert answer.out.startswith("photo.png: ")


def test_standard_input_that_is_closed(place, refused, monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    assert refused("predict", place, "-").startswith("predict: - reads an image from a pipe, and there is none")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"model": "resnet18", "batch_size": 8}, "options model, batch_size; here: network='resnet18', batch=8"),
        ({"optimizer": "adam"}, "option optimizer; here: optimizer__kind='adam'"),
        ({"patience": 5}, "option patience; here: early_stopping__patience='5ep'"),
        ({"mixup": 0.2}, "option mixup; here: augment='resized_crop,flip,mixup(0.2)'"),
        ({"amp": True}, "option amp; here: precision='bf16'"),
        ({"val_split": 0.2}, "option val_split; here: data__split='80/20/0'"),
        ({"num_classes": 2}, "option num_classes; here: no num_classes (the classes are those of the data)"),
        ({"momentum": 0.9}, "option momentum; here: optimizer__momentum=0.9"),
        ({"epocs": 3}, "option epocs; here: epochs=3"),
        ({"freeze": 2}, "option freeze; here: cs.finetune(...) for freeze"),
        ({"zzz": 1}, "option zzz; known: network, data, epochs, "),
    ],
)
def test_python_calls_name_every_option(options, said, here):
    for call in (cs.train, lambda start, **more: cs.finetune(start, data="photos", **more)):
        with pytest.raises(UnknownName) as error:
            call("resnet18", **options)
        assert f"unknown {said}" in str(error.value)
    assert not list(here.iterdir())

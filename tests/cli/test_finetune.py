"""`convsmith finetune`: what it prints, what comes out of it, and the one line for each mistake."""

import torch
import torchvision
from safetensors.torch import save_file

from convsmith.runs.directory import open_run

QUICK = ("--quick", "--batch", "8", "--precision", "fp32", "--engine.threads", "1")


def test_from_a_run_to_a_run_that_every_verb_takes(command, photo_run, here):
    run, folder = photo_run
    answer = command("finetune", run, "--data", folder, *QUICK, "--out", "tuned")
    assert answer.code == 0, answer.err
    lines = answer.err.splitlines()
    (why,) = [line for line in lines if line.startswith("mode ")]
    assert why == (
        "mode probe: 16 training images per class are few (many: from 100); 6 validation images are too few to compare "
        "the stages' features (from 50)"
    )
    # What the data are comes before what takes time.
    at = [
        i for start in ("data pictures: ", "48 images go through") for i, s in enumerate(lines) if s.startswith(start)
    ]
    assert at[0] < at[1], lines
    assert len(at) == 2, lines
    assert any(line.startswith(f"starts from {run.resolve()} (Convsmith names") for line in lines)
    assert "run     tuned\n" in answer.out
    assert command("eval", "tuned", "--json").json["count"] == 6
    image = next(folder.rglob("*.png"))
    assert command("predict", "tuned", image).code == 0
    assert command("train", "--resume", "tuned").code == 0
    assert open_run("tuned").record("recipe")["start"]["source"] == str(run.resolve())


def test_from_a_file_of_torchvisions(command, pictures, here):
    torch.manual_seed(0)
    save_file(torchvision.models.resnet18(num_classes=7).state_dict(), "resnet18.safetensors")
    words = ("finetune", "resnet18", "--weights", "resnet18.safetensors", "--data", pictures, "--size", "64")
    answer = command(*words, "--mode", "probe", "--at", "stage2", *QUICK, "--quiet", "--json", "--out", "tuned")
    assert answer.code == 0, answer.err
    assert answer.json["finetune"] == {
        "mode": "probe", "at": "stage2", "unfreeze": None, "decay": None, "classifier": None,
        "images_per_class": 16.0, "similarity": None,
    }  # fmt: skip
    recipe = open_run("tuned").record("recipe")["recipe"]
    assert (recipe["edits"], recipe["data"]["size"]) == (["cut('stage2')"], 64)
    assert recipe["optimizer"]["rules"][0] == {
        "kind": "rule", "pattern": r"^(?!head\.linear\.)", "weight_decay": None, "lr": None, "freeze": True
    }  # fmt: skip


def test_a_dry_run_writes_nothing(command, photo_run, here):
    run, folder = photo_run
    answer = command("finetune", run, "--data", folder, "--unfreeze", 2, "--dry-run", "--json")
    assert answer.code == 0, answer.err
    rules = answer.json["recipe"]["optimizer"]["rules"]
    assert [(rule["pattern"], rule["lr"], rule["freeze"]) for rule in rules] == [
        (r"^(stem|stage1)\.", None, True),
        (r"^(stage2|stage3)\.", 0.1, False),
    ]
    assert answer.json["estimate"]["steps"] == 300
    answer = command("finetune", run, "--data", folder, "--classifier", "logistic", "--dry-run")
    assert answer.out == (
        "finetune-pictures: resnet_cifar on pictures, logistic regression\n"
        "each of 48 images goes through the network once, unless the cache has its features\n"
    )
    assert list(here.iterdir()) == []


def test_mistakes(refused, photo_run, here):
    run, folder = photo_run
    words = ("finetune", run, "--data", folder)
    assert refused("finetune", run) == "finetune: say which images to learn: --data PATH"
    assert refused(*words, "--at", "stage9") == (
        "cut: resnet_cifar has no stage 'stage9'; its stages are stem, stage1, stage2, stage3"
    )
    assert refused(*words, "--unfreeze", 9) == (
        "--unfreeze 9: resnet_cifar has 4 stages with weights: stem, stage1, stage2, stage3"
    )
    assert refused(*words, "--mode", "half").startswith("finetune: argument --mode: invalid choice: 'half'")
    assert refused(*words, "--mode", "probe", "--unfreeze", 1).startswith("--unfreeze belongs to --mode partial")
    assert "has weights of its own" in refused(*words, "--weights", "w.pth")
    assert refused(*words, "--classifier", "logistic", "--epochs", 3).startswith("a logistic regression has no epochs")
    assert "solver logistic: cannot use augment" in refused(*words, "--classifier", "logistic", "--augment", "flip")
    message = refused("finetune", "resnet18", "--data", folder)
    assert message.startswith("resnet18 is a network without weights: add --pretrained (published ones) or --weights")
    assert message.endswith(f"convsmith train resnet18 --data {folder}")
    assert refused("finetune", "resnet18", "--weights", "w.pth", "--data", folder).startswith("w.pth: no such file")
    assert refused("finetune", folder, "--data", folder).startswith(
        f"{folder}: is neither a run nor a bundle nor a network"
    )
    assert refused("finetune", "resnet81", "--data", folder).startswith("unknown run or network 'resnet81'; nearest: ")
    assert refused(*words, "--out", run).startswith(f"{run}: holds something already")
    assert refused("finetune", run, "--data", "nowhere").startswith("no such path, and no data set of this name")


def test_a_run_without_weights(refused, own_run, pictures, here):
    for path in (own_run / "checkpoints").iterdir():
        for file in path.iterdir():
            file.unlink()
        path.rmdir()
    for name in ("last.json", "best.json"):
        (own_run / name).unlink()
    message = refused("finetune", own_run, "--data", pictures, "--mode", "probe", code=1)
    assert message.startswith(
        f"{own_run.resolve() / 'checkpoints'}: holds no checkpoint; the run ended before its first"
    )


def test_too_few_images(refused, photo_run, write_pictures, here, tmp_path):
    few = write_pictures(tmp_path / "few", count=1)
    message = refused("finetune", photo_run[0], "--data", few, "--mode", "probe")
    assert message.startswith("3 images are too few for a val split of 10%")

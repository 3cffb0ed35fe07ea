"""What a user's own images start from: published weights where they can be had, else nothing; and what is said."""

import hashlib
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

import convsmith as cs
from convsmith.data.preprocess import ImageInput
from convsmith.nets.modules.build import build
from convsmith.nets.zoo import network
from convsmith.recipes.builtin import RECIPES
from convsmith.recipes.choose import choose
from convsmith.recipes.finetune import FineTuning
from convsmith.runs import published
from convsmith.runs.directory import open_run
from convsmith.runs.publishers import OTHERS, PublishedFile
from convsmith.work import first_start as starting
from convsmith.work.first_start import PATIENCE, first_start
from convsmith.work.limit import read_limit

NAME = "resnet20_cifar"  # in place of a network for photographs, which takes minutes
FAST = {"engine__threads": 1, "engine__precision": "fp32", "quiet": True}


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CONVSMITH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(starting, "NETWORKS", (NAME,))
    (tmp_path / "cache" / NAME).mkdir(parents=True)
    return tmp_path / "cache" / NAME


@pytest.fixture
def published_weights(cache, monkeypatch):
    """Weights of that network, not in the cache yet."""
    file = cache.parent / "w.safetensors"
    save_file(build(network(NAME), seed=3).state_dict(), file)
    entry = replace(
        OTHERS["efficientnet_lite0"]["DEFAULT"],
        name="Small_Weights.V1",
        preprocess=ImageInput(size=(32, 32), mean=(0.5,) * 3, std=(0.5,) * 3),
        classes=lambda: tuple("0123456789"),
        folder=NAME,
        files=(PublishedFile("w.safetensors", hashlib.sha256(file.read_bytes()).hexdigest()),),
        package=None,
        note="",
    )
    monkeypatch.setitem(OTHERS, NAME, {"DEFAULT": entry})
    return entry


@pytest.fixture
def at_hand(published_weights, cache):
    (cache.parent / "w.safetensors").rename(cache / "w.safetensors")
    return published_weights


@pytest.fixture
def own(write_pictures, tmp_path):
    """Sixty pictures of 40 pixels a side, of three classes."""
    return write_pictures(tmp_path / "own", 20, 40)


def found(source, *given, subject=None, limit=None):
    said = []
    return first_start(subject, str(source), given, limit, said.append), said


def test_weights_at_hand_are_started_from_as_finetune_does(at_hand, own):
    (recipe, tuning, limit), said = found(own)
    assert (recipe.network, recipe.weights, recipe.data.size) == (NAME, "DEFAULT", 32)
    assert (tuning, limit.seconds, limit.given) == (FineTuning(), PATIENCE, False)
    assert said == [
        "data own: folder of class folders: 3 classes (bent, flat, round), 60 images",
        "weights: Google's Small_Weights.V1, license Apache-2.0, 18.0 MiB; --weights none does without",
    ]


@pytest.mark.parametrize("given", [("pretrained", True), ("weights", "DEFAULT")])
def test_the_best_weights_are_those_of_the_first_start(given, at_hand, own):
    (recipe, tuning, _), said = found(own, given)
    assert (recipe.network, recipe.weights, tuning) == (NAME, "DEFAULT", FineTuning())
    assert len(said) == 2


def test_the_command_learns_the_last_layer_on_features_and_says_so(at_hand, own, command, here):
    answer = command("train", "--data", own, "--out", "run", "--precision", "fp32", "--engine.threads", 1)
    assert answer.code == 0, answer.err
    record = open_run("run").record("recipe")
    assert (record["recipe"]["solver"], record["start"]["source"]) == ("logistic", "Google's Small_Weights.V1")
    assert answer.err.startswith(
        "data own: folder of class folders: 3 classes (bent, flat, round), 60 images\n"
        "weights: Google's Small_Weights.V1, license Apache-2.0"
    )
    assert answer.err.count("data own") == 1
    assert "48 images go through resnet20_cifar once to compute its features: about " in answer.err
    assert "learned the last layer by logistic regression in " in answer.out
    weights, first = (run.state_dict() for run in (cs.load("run").subject().module, build(network(NAME), seed=3)))
    assert torch.equal(weights["stem.conv.weight"], first["stem.conv.weight"])
    assert command("predict", "run", next(own.rglob("*.png"))).code == 0
    # The features are there: they are read, not computed.
    again = command("train", "--data", own, "--out", "again", "--precision", "fp32", "--engine.threads", 1)
    assert "images go through" not in again.err
    assert torch.equal(
        cs.load("again").subject().module.state_dict()["head.linear.weight"], weights["head.linear.weight"]
    )


def test_a_column_of_a_table_without_an_image_is_no_class(at_hand, own, command, here):
    files = sorted(file.relative_to(own).as_posix() for file in own.rglob("*.png"))
    rows = [f"{file},{i % 2},{i % 3 % 2},0" for i, file in enumerate(files)]
    (own / "labels.csv").write_text("\n".join(["image,red,blue,green", *rows]))
    words = ("--data", own / "labels.csv", "--epochs", 1, "--engine.threads", 1)
    for number, named in enumerate(((), ("lenet5", "--size", 32))):
        answer = command("train", *named, *words, "--out", f"run{number}")
        assert answer.code == 0, answer.err
        assert answer.err.count("no image of green, left out") == 1
        assert cs.load(f"run{number}").subject().labels == ("red", "blue")


def test_options_of_steps_ask_for_steps(at_hand, own):
    (recipe, tuning, _), _ = found(own, ("epochs", "2"), ("optimizer.lr", "0.01"))
    assert (tuning, str(recipe.length), recipe.optimizer.lr) == (FineTuning(by_steps=True), "2ep", 0.01)
    run = cs.train(data=str(own), epochs=2, **FAST)
    assert (run.result["epochs"], open_run(run.path).record("recipe")["recipe"]["solver"]) == (2, "steps")


@pytest.mark.parametrize(
    "given",
    [("weights", "none"), ("init", "he"), ("renew", "head")],
)
def test_another_start_is_from_nothing(given, at_hand, own):
    (recipe, tuning, limit), said = found(own, given)
    assert (recipe.network, tuning, limit.given, said) == ("resnet18", None, False, [])


@pytest.mark.parametrize(
    ("subject", "given"),
    [
        ("photos", ()),
        ("resnet18", ()),
        (None, (("network", "resnet18"),)),
        (None, (("edit", "se=16"),)),
        (None, (("solver", "logistic"),)),
        (None, (("task", "own.py:task"),)),
    ],
)
def test_what_is_named_trains_as_it_is_written(subject, given, at_hand, own):
    answer, said = found(own, *given, subject=subject)
    assert (answer, said) == (None, [])
    assert choose("photos", str(own)) == RECIPES["photos"]().edit(data__source=str(own))


def test_known_sets_tiny_images_and_large_sets_of_small_ones_keep_their_recipes(
    at_hand, shared_pictures, own, monkeypatch
):
    assert found("digits") == (None, [])
    assert found(shared_pictures) == (None, [])  # of 12 pixels
    monkeypatch.setattr(starting, "MANY_IMAGES", 60)
    assert found(own) == (None, [])


def test_without_weights_it_is_said_which_file_to_put_where(published_weights, own, cache, monkeypatch):
    (recipe, tuning, limit), said = found(own)
    assert (recipe.network, recipe.weights, tuning, limit.seconds) == ("resnet18", None, None, PATIENCE)
    assert said[1].startswith(
        "trains from nothing, without published weights (they lie nowhere on this machine and could not be fetched), "
        "which is far less accurate on a small set. To start from Google's Small_Weights.V1: "
    )
    assert f"put w.safetensors in {cache}" in said[1]
    monkeypatch.setenv("CONVSMITH_OFFLINE", "1")
    assert "(CONVSMITH_OFFLINE is set)" in found(own)[1][1]


def test_what_can_be_fetched_is_fetched_and_said_before(published_weights, own, cache, monkeypatch):
    entry = replace(published_weights, url="http://example.invalid/w.safetensors")
    monkeypatch.setitem(OTHERS, NAME, {"DEFAULT": entry})
    served = cache.parent / "w.safetensors"

    def download(url, path, digits, progress):
        served.rename(path)

    monkeypatch.setattr(published.torch.hub, "download_url_to_file", download)
    (recipe, *_), said = found(own)
    assert recipe.network == NAME
    assert said[1] == "fetching Google's Small_Weights.V1, license Apache-2.0, 18.0 MiB"
    assert said[2].startswith("weights: Google's Small_Weights.V1")


def test_a_download_that_fails_ends_in_training_from_nothing(published_weights, own, monkeypatch):
    entry = replace(published_weights, url="http://example.invalid/w.safetensors")
    monkeypatch.setitem(OTHERS, NAME, {"DEFAULT": entry})

    def download(url, path, digits, progress):
        raise OSError("no route to host")

    monkeypatch.setattr(published.torch.hub, "download_url_to_file", download)
    (recipe, tuning, _), said = found(own)
    assert (recipe.network, tuning) == ("resnet18", None)
    assert "not started from Google's Small_Weights.V1" in said[2]
    assert "no route to host" in said[2]
    assert said[3].startswith("trains from nothing")


def test_a_file_of_other_bytes_is_not_started_from(at_hand, own, cache):
    (cache / "w.safetensors").write_bytes(b"other")
    (recipe, *_), said = found(own)
    assert recipe.network == "resnet18"
    assert "its SHA-256 begins with" in said[1]


def test_few_images_are_seen_more_often(own, published_weights):
    (recipe, *_), _ = found(own)
    assert str(recipe.length) == "200ep"
    (recipe, *_), _ = found(own, ("epochs", "3"))
    assert str(recipe.length) == "3ep"


def test_a_limit_that_is_given_stays(at_hand, own):
    limit = read_limit("90s")
    assert found(own, limit=limit)[0][2] is limit
    assert not found(own, ("size", "40"))[0][2].sizes


def test_data_that_cannot_be_opened_says_why(at_hand, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(Exception, match="empty"):
        found(tmp_path / "empty")

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from convsmith.base.durations import Duration
from convsmith.base.errors import BadFile, MissingPath, UnknownName, UsageError
from convsmith.base.files import write_json
from convsmith.data.augmentations import MIRRORS, Crop, ResizedCrop
from convsmith.nets.zoo import NETWORKS, network
from convsmith.recipes import choose as choosing
from convsmith.recipes.builtin import RECIPES
from convsmith.recipes.choose import choose
from convsmith.recipes.recipe import Recipe
from convsmith.tasks.names import suited_task
from convsmith.work.prepare import prepare


def of(subject=None, data=None):
    recipe = choose(subject, str(data) if data else None)
    return recipe.name, recipe.network, recipe.data.source


def test_nothing_is_the_digits():
    assert choose(None, None) == RECIPES["digits"]()


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe(name, shared_pictures):
    assert choose(name, None) == RECIPES[name]()
    other = choose(name, str(shared_pictures))
    assert other == RECIPES[name]().edit(data__source=str(shared_pictures))


def test_a_network_takes_the_recipe_of_the_data(shared_pictures):
    assert of("resnet18") == ("resnet18-digits", "resnet18", "digits")
    assert of("resnet18", "mnist") == ("resnet18-mnist", "resnet18", "mnist")
    assert of("lenet5", "mnist") == ("lenet5-mnist", "lenet5", "mnist")
    assert of("lenet5", shared_pictures) == ("lenet5-pictures", "lenet5", str(shared_pictures))
    assert of("torchvision:resnet18", "cifar100")[0] == "torchvision-resnet18-cifar100"
    assert of("own.py:make", "digits") == ("own-py-digits", "own.py:make", "digits")
    assert of("/far/away/own.py:other", "digits")[0] == "own-py-other-digits"


def test_another_network_keeps_nothing_that_was_tuned_for_the_recipes_own():
    other, own = choose("vgg16", "cifar10"), choose("resnet20_cifar", "cifar10")
    assert own == RECIPES["resnet20-cifar10-fast"]()
    assert (other.data, other.augment, other.length) == (own.data, own.augment, own.length)
    assert (other.init, other.schedule.kind) == (None, "cosine")
    # Without normalization a network needs a smaller rate.
    assert 10 * other.optimizer.lr == choose("vgg16_bn", "cifar10").optimizer.lr


def test_a_network_that_gives_an_image_takes_its_task_and_the_optimization_of_that_task(write_tree, shared_pictures):
    assert choose("vae_mnist", "mnist") == RECIPES["vae-mnist"]()
    assert choose("autoencoder_mnist", "mnist") == RECIPES["autoencoder-mnist"]()
    other = choose("vae_mnist", "fashion_mnist")
    assert (other.task, other.name, other.length) == ("vae", "vae_mnist-fashion_mnist", Duration(8, "ep"))
    assert (other.optimizer, other.batch) == (RECIPES["vae-mnist"]().optimizer, 100)
    assert (other.data.source, other.data.size, other.augment) == ("fashion_mnist", 28, ())
    # Without normalization the rate is a tenth here too.
    large = choose("autoencoder_vgg16", str(shared_pictures))
    assert (large.task, large.optimizer.kind, large.data.size) == ("autoencode", "adam", 224)
    assert large.optimizer.lr == pytest.approx(2e-4)
    assert (large.length, large.data.split) == (Duration(60, "ep"), "80/10/10")
    tree = choose(str(write_tree("vae_mnist")), "digits")
    assert (tree.task, tree.optimizer.kind, tree.data.size) == ("vae", "adam", 28)


def test_the_task_of_such_a_network_is_said_and_another_is_refused():
    recipe = choose("vae_mnist", "digits").edit(data__images=64, engine__threads=1)
    said = "vae_mnist learns the task vae: rebuild each image from a draw of a few numbers, and draw new images"
    assert said in prepare(recipe).notes
    assert not any(
        "learns the task" in note for note in prepare(RECIPES["vae-mnist"]().edit(data__source="digits")).notes
    )
    for name, task in (("vae_mnist", "vae"), ("autoencoder_mnist", "autoencode")):
        plain = choose("lenet5", "digits").edit(network=name, data__size=28, data__images=64)
        message = f"{name} gives an image of its input's shape, and no classes; take --task {task}"
        with pytest.raises(UsageError, match=message):
            prepare(plain)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_has_a_default_that_suits_it(name):
    recipe, tree = choose(name, "digits"), network(name)
    assert recipe.task == suited_task(tree)
    assert (recipe.network, recipe.data.source) == (name, "digits")
    if recipe.task is None:
        assert (recipe.optimizer.kind, recipe.optimizer.lr) in (("sgd", 0.05), ("sgd", 0.005))
        outputs = tree.trace().stages["head"].shape
        assert outputs.channels == tree.classes
    else:
        assert (recipe.optimizer.kind, recipe.data.size) == ("adam", max(tree.input.spatial))
        assert recipe.optimizer.lr <= 2e-3


def test_data_alone(shared_pictures):
    assert of("mnist") == of(None, "mnist") == ("lenet5-mnist", "lenet5", "mnist")
    name = str(shared_pictures)
    assert of(f"{name}/")[:2] == of(None, name)[:2] == ("photos", "resnet18")


def test_large_or_unequal_images_take_the_recipe_for_photographs(write_pictures, tmp_path):
    large = write_pictures(tmp_path / "large", 2, 65)
    mixed = write_pictures(tmp_path / "mixed", 2, 20)
    write_pictures(mixed, 1, 21, ("other", "others"))
    for folder in (large, mixed):
        assert choose(None, str(folder)) == RECIPES["photos"]().edit(data__source=str(folder))


def test_few_small_images_take_gentle_recipes_at_their_own_size(shared_pictures, tmp_path):
    color = choose(None, str(shared_pictures))
    assert (color.name, color.data.size, color.batch) == ("photos", None, 32)
    for name in ("a", "b"):
        (tmp_path / "gray" / name).mkdir(parents=True)
        Image.fromarray(np.zeros((9, 9), np.uint8)).save(tmp_path / "gray" / name / "1.png")
    assert of(str(tmp_path / "gray"))[:2] == ("digits", "lenet5")


@pytest.mark.parametrize(("channels", "name"), [(1, "lenet5-mnist"), (3, "resnet20-cifar10-fast")])
def test_many_small_images_take_the_recipes_for_large_sets(channels, name, shared_pictures, monkeypatch):
    class Many:
        class card:
            size, counts = (28, 28), {"train": 9_000, "test": 1_000}

    Many.card.channels = channels
    monkeypatch.setattr(choosing, "open_path", lambda path: Many)
    assert choose(None, str(shared_pictures)).name == name


@pytest.mark.parametrize(("channels", "count"), [(1, 20), (3, 20), (3, 10_000)])
def test_letters_and_digits_are_not_mirrored_by_default(channels, count, tmp_path, monkeypatch):
    class Found:
        class card:
            size, counts = (28, 28), {"train": count}

    Found.card.channels = channels
    monkeypatch.setattr(choosing, "open_path", lambda path: Found)
    for name in ("svhn", "my letters", "birds"):
        (tmp_path / name).mkdir()
        for subject in (None, "photos", "resnet18"):
            if (channels, subject) == (1, None):
                continue  # which have no flip
            recipe = choose(subject, f"{tmp_path / name}/")
            mirrored = any(isinstance(step, MIRRORS) for step in recipe.augment)
            assert mirrored is (name == "birds" and (channels == 3 or subject == "photos"))
            assert any(isinstance(step, Crop | ResizedCrop) for step in recipe.augment)
    assert choose("photos", None) == RECIPES["photos"]()


def test_a_recipe_that_is_named_keeps_its_mirrors_and_it_is_said():
    recipe = choose("resnet20-cifar10-fast", "digits").edit(engine__threads=1, quick=True)
    assert any(isinstance(step, MIRRORS) for step in recipe.augment)
    said = "flip: in a mirror the 10 classes of digits become others or none; leave that out with another --augment"
    assert said in prepare(recipe).notes


def test_own_images_keep_some_back_for_the_test(shared_pictures):
    for subject in (None, "lenet5"):
        assert choose(subject, str(shared_pictures)).data.split == "80/10/10"


def test_a_recipes_file(tmp_path, shared_pictures):
    recipe = Recipe(name="mine", network="resnet20_cifar").edit(data__source="mnist", batch=3)
    path = tmp_path / "mine.json"
    write_json(path, recipe.to_json())
    assert choose(str(path), None) == recipe
    assert choose(str(path), "digits") == recipe.edit(data__source="digits")


def test_a_trees_file(write_tree):
    path = write_tree("resnet20_cifar")
    assert of(str(path)) == ("tree-json-digits", str(path), "digits")
    assert of(str(path), "cifar10") == ("tree-json-cifar10", str(path), "cifar10")


def test_a_run_gives_its_recipe_again(photo_run):
    run, folder = photo_run
    recipe = choose(str(run), None)
    assert recipe.to_json() == json.loads((run / "recipe.json").read_text())["recipe"]
    assert recipe.data.source == str(folder)
    assert choose(str(run), "digits") == replace(recipe, data=replace(recipe.data, source="digits"))


def test_the_record_inside_a_run_is_no_recipe(photo_run):
    with pytest.raises(BadFile, match="is a run's record; name the run's directory instead"):
        choose(str(photo_run[0] / "recipe.json"), None)


@pytest.mark.parametrize(
    ("subject", "nearest"),
    [("resnet20_cifr", "resnet20_cifar"), ("digit", "digits"), ("mnits", "mnist"), ("lenet-mnist", "lenet5-mnist")],
)
def test_nonsense_has_the_nearest_names(subject, nearest):
    with pytest.raises(UnknownName, match=rf"unknown recipe, network or data set '{subject}'; nearest: .*{nearest}"):
        choose(subject, None)


@pytest.mark.parametrize("subject", ["nowhere/images", "gone.json", "images.zip"])
def test_a_path_that_is_not_there(subject):
    with pytest.raises(MissingPath, match=rf"{subject}: no such file or folder; a recipe, a network, images or a run"):
        choose(subject, None)


def test_two_data_sets_are_one_too_many(shared_pictures):
    with pytest.raises(UnknownName, match="unknown recipe or network 'mnist'"):
        choose("mnist", str(shared_pictures))

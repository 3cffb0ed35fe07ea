"""Every built-in recipe: to JSON and back, two quick steps and resumed ones, and what its docstring owes the reader."""

import inspect
import json
import re
import shutil

import pytest
import torch

from convsmith.nets.zoo import NETWORKS
from convsmith.recipes.builtin import RECIPES
from convsmith.recipes.choose import FOR_DATA, choose
from convsmith.recipes.recipe import QUICK_STEPS, recipe_from_json
from convsmith.recipes.run import resume, train
from convsmith.runs.checkpoints import load_checkpoint
from convsmith.runs.directory import open_run


@pytest.mark.parametrize("name", RECIPES)
def test_to_json_and_back(name):
    recipe = RECIPES[name]()
    assert recipe_from_json(json.loads(json.dumps(recipe.to_json()))) == recipe


@pytest.mark.parametrize("name", RECIPES)
def test_the_name_and_the_parts_are_there(name):
    recipe = RECIPES[name]()
    assert recipe.name == name
    assert recipe.network in NETWORKS
    assert not recipe.quick


@pytest.mark.parametrize("name", RECIPES)
def test_the_docstring_says_what_it_is_and_how_to_run_it(name):
    text = inspect.getdoc(RECIPES[name])
    first, *rest = text.splitlines()
    assert len(first) <= 120
    assert rest[0] == ""
    assert re.search(rf"^convsmith train {name}( |$)", text, re.MULTILINE), f"{name}: no command in the docstring"
    assert "TO MEASURE" not in text


@pytest.mark.parametrize("source", FOR_DATA)
def test_known_data_have_a_default_recipe(source):
    assert choose(None, source).data.source == source


def quick(name, cifar_files, shared_pictures):
    """The recipe, shrunk, on data that every machine has."""
    recipe = RECIPES[name]().edit(quick=True, checkpoint_every="2steps", engine__threads=1)
    if name == "photos":
        return recipe.edit(data__source=str(shared_pictures), data__size=80, batch=8)
    grey = recipe.data.source in ("digits", "mnist")
    return recipe.edit(data__source="digits" if grey else str(cifar_files), batch=16)


@pytest.mark.parametrize("name", RECIPES)
def test_a_quick_run_and_its_resumption(name, cifar_files, shared_pictures, tmp_path):
    recipe = quick(name, cifar_files, shared_pictures)
    outcome = train(recipe, out=tmp_path / "run", quiet=True)
    assert outcome.result["steps"] == QUICK_STEPS
    assert outcome.result["metrics"]["val"]["count"] > 0
    straight = load_checkpoint(outcome.run)
    # As if it had been killed after its checkpoint of step 2.
    copy = tmp_path / "copy"
    shutil.copytree(outcome.run.path, copy)
    shutil.rmtree(copy / "checkpoints" / f"{QUICK_STEPS:08d}")
    (copy / "result.json").unlink()
    open_run(copy).set_status("stopped")
    said = []
    again = resume(copy, quiet=True, say=said.append)
    assert any(f"resumes {copy} at step 2 of {QUICK_STEPS}" in text for text in said)
    resumed = load_checkpoint(again.run)
    assert resumed.model.keys() == straight.model.keys()
    assert all(torch.equal(resumed.model[key], straight.model[key]) for key in straight.model)
    assert all(torch.equal(resumed.state[key], straight.state[key]) for key in straight.state)
    assert again.result["metrics"] == outcome.result["metrics"]


def test_quick_shrinks_what_takes_long(cifar_files, tmp_path):
    recipe = RECIPES["resnet20-cifar10-fast"]().edit(quick=True, data__source=str(cifar_files))
    stored = train(recipe, out=tmp_path / "run", quiet=True).run.record("recipe")["recipe"]
    assert (stored["length"], stored["quick"], stored["batch"]) == ("4steps", True, 32)
    assert stored["explosion"] == 0
    assert stored["optimiser"] == recipe.to_json()["optimiser"]

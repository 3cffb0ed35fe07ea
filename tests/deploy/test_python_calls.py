"""`cs.train`, `cs.load`, `cs.resume` and what a run answers."""

import json
import re

import numpy as np
import pytest

import convsmith as cs
from convsmith.base.errors import BadFile, MissingPath, UnknownName, UsageError


def test_the_public_names_are_there():
    assert set(cs.__all__) <= set(dir(cs))
    assert all(getattr(cs, name) is not None for name in cs.__all__)
    with pytest.raises(AttributeError, match="module 'convsmith' has no attribute 'trian'; it has network, edit, "):
        _ = cs.trian


def test_train_gives_a_run(shared_pictures, tmp_path):
    options = {"epochs": 1, "batch": 8, "size": 32, "optimizer__weight_decay": 0, "augment": "flip", "quiet": True}
    run = cs.train("lenet5", data=str(shared_pictures), out=tmp_path / "run", **options)
    assert run.path == tmp_path / "run"
    recipe = run.directory.record("recipe")["recipe"]
    assert (recipe["network"], recipe["batch"], recipe["optimizer"]["weight_decay"]) == ("lenet5", 8, 0)
    assert run.result["epochs"] == len(run.metrics) == 1
    assert run.result["metrics"]["test"] == json.loads(json.dumps(run.evaluate().result.to_json()))


def test_a_recipe_a_run_and_the_command_give_the_same_bits(trees, shared_pictures, command, tmp_path):
    from convsmith.runs.checkpoints import load_checkpoint

    recipe = cs.Recipe(network=f"{trees}:resnet8").edit(
        data__source=str(shared_pictures), length="1ep", batch=8, seed=4
    )
    recipe = recipe.edit(engine__threads=1, engine__precision="fp32")
    first = cs.train(recipe, out=tmp_path / "first", quiet=True)
    again = cs.train(str(first.path), out=tmp_path / "again", quiet=True)
    assert command("train", first.path, "--out", tmp_path / "third", "--quiet").code == 0
    expected = load_checkpoint(first.directory).model
    for run in (again, cs.load(tmp_path / "third")):
        found = load_checkpoint(run.directory).model
        assert all(np.array_equal(found[key].numpy(), expected[key].numpy()) for key in expected)
        assert run.directory.record("recipe")["recipe"] == first.directory.record("recipe")["recipe"]


def test_a_recipe_takes_options_too(trees, shared_pictures, tmp_path):
    recipe = cs.Recipe(network=f"{trees}:resnet8")
    run = cs.train(recipe, data=str(shared_pictures), quick=True, batch=8, out=tmp_path / "run", quiet=True)
    assert run.directory.record("recipe")["recipe"]["data"]["source"] == str(shared_pictures)


@pytest.mark.parametrize(
    ("subject", "options", "kind"),
    [
        ("resnet21", {}, UnknownName),
        ("digits", {"epoch": 3}, UnknownName),
        ("digits", {"batch": "many"}, TypeError),
        ("digits", {"data": "nowhere/"}, FileNotFoundError),
        ("digits", {"lr": -1}, ValueError),
    ],
)
def test_errors_are_of_the_usual_families_and_nothing_is_left(subject, options, kind, here):
    with pytest.raises(kind) as caught:
        cs.train(subject, quiet=True, **options)
    assert isinstance(caught.value, UsageError)
    assert "\n" not in str(caught.value)
    assert list(here.iterdir()) == []


def test_a_taken_directory_is_refused(photo_run):
    with pytest.raises(UsageError, match="is a run already; continue it with --resume"):
        cs.train("digits", quick=True, out=photo_run[0], quiet=True)


def test_resume_and_load(photo_run, tmp_path):
    run, _ = photo_run
    assert cs.resume(run, quiet=True) == cs.load(run) == cs.load(str(run))
    with pytest.raises(MissingPath, match="nowhere: no such run"):
        cs.load("nowhere")
    with pytest.raises(BadFile, match=r"is not a run directory: run.json is missing; it holds runs, such as "):
        cs.load(run.parent)
    with pytest.raises(BadFile, match=r"is not a run directory: run.json is missing; give a folder that"):
        cs.load(tmp_path)


def test_a_notebook_shows_state_and_curves(photo_run):
    html = cs.load(photo_run[0])._repr_html_()
    assert str(photo_run[0]) in html
    assert "finished" in html
    assert "<svg" in html
    assert "<script" not in html


def test_the_report_needs_nothing_else(photo_run):
    path = cs.load(photo_run[0]).report()
    text = path.read_text()
    assert path.name == "report.html"
    assert "accuracy" in text.lower()
    for label in ("bent", "flat", "round"):
        assert label in text
    assert text.count("<svg") >= 2
    # Nothing is loaded from elsewhere: no links to files or hosts, no scripts.
    loaded = re.findall(r"""(?:src|href)\s*=\s*["']([^"']*)|url\(([^)]*)\)""", text)
    assert all(link.startswith(("data:", "#")) for pair in loaded for link in pair if link)
    assert "<script" not in text
    assert "@import" not in text


def test_a_module_that_is_no_tree_has_a_report_too(modules, shared_pictures, tmp_path):
    run = cs.train(f"{modules}:make", data=str(shared_pictures), quick=True, batch=8, out=tmp_path / "run", quiet=True)
    assert "modules.py:make" in run.report().read_text()


def test_the_first_lines_of_the_package_say(shared_pictures, tmp_path):
    tree = cs.edit(cs.network("resnet20_cifar", classes=3), "drop_path=0.2")
    assert cs.cost(tree).params == sum(p.numel() for p in cs.build(tree).parameters())

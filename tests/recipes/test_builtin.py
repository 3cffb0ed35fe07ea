"""Every built-in recipe: to JSON and back, what it owes the reader, what the papers say, and quick steps."""

import json
import re
import shutil
from dataclasses import replace

import pytest
import torch

from convsmith.base.config import options
from convsmith.base.errors import MissingPath
from convsmith.nets.cost import cost
from convsmith.nets.zoo import NETWORKS, network
from convsmith.recipes.builtin import NEVER_RUN, RECIPES, never_run
from convsmith.recipes.choose import FOR_DATA, choose
from convsmith.recipes.recipe import QUICK_STEPS, Recipe, recipe_from_json
from convsmith.runs.checkpoints import load_checkpoint
from convsmith.runs.directory import open_run
from convsmith.training.job import new_state
from convsmith.training.schedule import Span, rate
from convsmith.training.step import train_step
from convsmith.work.prepare import make_job, make_model, prepare
from convsmith.work.run import resume, train

# What a quick run of every step, evaluation and resumption takes too long for: it prepares and takes one step.
MANY_MACS, MANY_PARAMETERS = 50e6, 5e6
PATHS = [path for path, *_ in options(Recipe())]


@pytest.mark.parametrize("name", RECIPES)
def test_to_json_and_back(name):
    recipe = RECIPES[name]()
    assert recipe_from_json(json.loads(json.dumps(recipe.to_json()))) == recipe


@pytest.mark.parametrize("name", RECIPES)
def test_the_name_and_the_parts_are_there(name):
    recipe = RECIPES[name]()
    assert recipe.name == name
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name)
    assert recipe.network in NETWORKS
    assert not recipe.quick


@pytest.mark.parametrize("name", RECIPES)
def test_the_text_says_what_it_is_and_how_to_run_it(name):
    entry = RECIPES[name]
    first, *rest = entry.about.splitlines()
    assert len(first) <= 120
    assert rest[0] == ""
    assert re.search(rf"^convsmith train {name}( --data FOLDER)?$", entry.about, re.MULTILINE)
    assert (NEVER_RUN in entry.about) == (not entry.was_run)
    assert entry.was_run or (entry.paper in " ".join(entry.about.split()) and entry.figure)
    assert ("--data FOLDER" in entry.command) == (entry().data.source in ("photos", "imagenet"))


@pytest.mark.parametrize("name", RECIPES)
def test_each_source_names_fields_and_none_twice(name):
    entry = RECIPES[name]
    fields = [field for named in entry.sources.values() for field in named.split()]
    assert set(fields) <= set(PATHS)
    assert len(fields) == len(set(fields))
    if not entry.was_run:  # the plan of a paper: its rate and length are somebody's
        assert {"network", "optimizer.lr", "augment"} <= {*fields} or "our choice" in " ".join(entry.differs)


def test_sources_are_told_by_field():
    entry = RECIPES["resnet110-cifar10"]
    assert entry.source("optimizer.lr") == entry.source("schedule.warmup_error") == "section 4.2"
    assert entry.source("seed") == ""


def test_all_papers_are_there():
    names = set(RECIPES)
    resnets = [f"resnet{depth}" for depth in (20, 32, 44, 56, 110, 1202)]
    preresnets = [f"preresnet{depth}" for depth in (110, 164, 1001)]
    wide = ["wrn16-8", "wrn40-4", *(f"wrn28-10{variant}" for variant in ("", "-dropout", "-cutout", "-mixup"))]
    others = ["plain20", "plain56", "resnet110-stochastic-depth", "se-resnet110", "wrn28-10-autoaugment"]
    for stem in (*resnets, *preresnets, *wide, *others, "resnext29-8x64d", "densenet-bc100-12"):
        assert {f"{stem}-cifar10", f"{stem}-cifar100"} <= names
    for stem in (
        "alexnet", "vgg16", "googlenet", "resnet50", "resnet50-16ep", "resnet50-a1", "resnet50-a2", "resnet50-a3",
        "mobilenet-v2", "shufflenet-v1", "shufflenet-v2", "efficientnet-b0",
    ):  # fmt: skip
        assert f"{stem}-imagenet" in names


# Batches of 128 of 45,000 images.
CIFAR = Span(352, 64_000)


def rates(name: str, *moments: int, span: Span = CIFAR, warmed: bool = True) -> list[float]:
    recipe = RECIPES[name]()
    found = [recipe.optimizer.lr * rate(recipe.schedule, step, span, warmed=warmed) for step in moments]
    return [round(value, 6) for value in found]


def test_rates_of_the_papers():
    assert rates("resnet56-cifar10", 0, 31_999, 32_000, 47_999, 48_000, 63_999) == [0.1, 0.1, 0.01, 0.01, 0.001, 0.001]
    assert rates("resnet110-cifar10", 0, 500, warmed=False) == [0.01, 0.01]
    assert rates("resnet110-cifar10", 500, 32_000) == [0.1, 0.01]
    assert rates("preresnet1001-cifar100", 400, 32_000) == [0.1, 0.01]
    two_hundred = Span(352, 200 * 352)
    at = [epoch * 352 for epoch in (0, 60, 120, 160, 199)]
    assert rates("wrn28-10-cifar10", *at, span=two_hundred) == [0.1, 0.02, 0.004, 0.0008, 0.0008]
    at = [0, *(epoch * 352 for epoch in (60, 120, 180))]
    assert rates("wrn28-10-mixup-cifar10", *at, span=two_hundred) == [0.1, 0.01, 0.001, 0.0001]
    epochs = Span(312, 16 * 312)
    assert rates("resnet50-16ep-imagenet", 2 * 312, 9 * 312, 16 * 312, span=epochs) == [1.7, 0.85, 0]
    assert rates("mobilenet-v2-imagenet", 0, 100, 200, span=Span(100, 30_000)) == [0.045, 0.0441, 0.043218]
    assert rates("efficientnet-b0-imagenet", 500, 719, 720, span=Span(100, 35_000)) == pytest.approx(
        [0.256 * 0.97**2, 0.256 * 0.97**2, 0.256 * 0.97**3], abs=1e-6
    )
    assert rates("shufflenet-v2-imagenet", 0, 150_000, span=Span(1251, 300_000)) == [0.5, 0.25]


@pytest.mark.parametrize(
    ("name", "figure"),
    [
        ("resnet20-cifar10", "8.75% test error (table 6)"),
        ("resnet20-cifar100", "no test error for CIFAR-100"),
        ("preresnet1001-cifar100", "22.71% test error (table 3)"),
        ("wrn28-10-mixup-cifar10", "2.7% test error (figure 3, the table in it)"),
        ("densenet-bc100-12-cifar100", "22.27% test error (table 2)"),
        ("resnet110-stochastic-depth-cifar10", "5.23% test error (table 1)"),
        ("se-resnet110-cifar10", "5.21% test error (tables 4 and 5)"),
        ("resnet50-a1-imagenet", "19.6% top-1 validation error at 224 pixels (table 1)"),
    ],
)
def test_figures_of_the_papers(name, figure):
    assert RECIPES[name].figure == figure


def test_the_two_data_sets_differ_where_the_papers_do():
    for name, entry in RECIPES.items():
        if entry.group == "CIFAR-100":
            twin = RECIPES[name.replace("cifar100", "cifar10")]()
            same = replace(entry(), name=twin.name, data=replace(entry().data, source="cifar10"))
            assert (same == twin) == (name != "wrn28-10-cutout-cifar100")
    sizes = [RECIPES[f"wrn28-10-cutout-{data}"]().augment[-1].size for data in ("cifar10", "cifar100")]
    assert sizes == [16, 8]


@pytest.mark.parametrize("source", FOR_DATA)
def test_known_data_have_a_default_recipe(source):
    assert choose(None, source).data.source == source


def test_imagenet_must_be_given():
    with pytest.raises(
        MissingPath, match=r"^ImageNet is not downloaded, .*: give your copy with --data FOLDER, in it "
    ):
        prepare(RECIPES["vgg16-imagenet"]())


def test_a_recipe_that_was_never_run_says_so(cifar_files):
    recipe = RECIPES["resnet20-cifar10"]().edit(data__source=str(cifar_files), engine__threads=1)
    note = "resnet20-cifar10 was never run by us to its end; reported for it: 8.75% test error (table 6)"
    assert [text for text in prepare(recipe).notes if "never run" in text] == [note]
    # A quick look needs no warning, and what was run has none.
    assert not [text for text in prepare(recipe.edit(quick=True)).notes if "never run" in text]
    assert never_run(RECIPES["digits"]()) is None
    assert never_run(Recipe(name="mine")) is None


def quick(name, cifar_files, shared_pictures) -> Recipe:
    """The recipe, shrunk, on data that every machine has."""
    recipe = RECIPES[name]().edit(quick=True, checkpoint_every="2steps", engine__threads=1, data__workers=0)
    if recipe.data.source == "photos":
        return recipe.edit(data__source=str(shared_pictures), data__size=80, batch=8)
    if recipe.data.source == "imagenet":
        return recipe.edit(data__source=str(shared_pictures), data__size=recipe.data.size // 2, batch=2)
    gray = recipe.data.source in ("digits", "mnist")
    return recipe.edit(data__source="digits" if gray else str(cifar_files), batch=16)


def is_large(name: str) -> bool:
    if not RECIPES[name].paper:
        return False
    numbers = cost(network(RECIPES[name]().network))
    return numbers.macs > MANY_MACS or numbers.params > MANY_PARAMETERS


def distinct(large: bool) -> list[str]:
    """The recipes whose quick form is not that of another: those of CIFAR-100 differ by their data alone."""
    forms: dict[Recipe, str] = {}
    for name, entry in RECIPES.items():
        recipe = entry()
        source = recipe.data.source.replace("cifar100", "cifar10")
        forms.setdefault(replace(recipe, name="", data=replace(recipe.data, source=source)), name)
    return [name for name in forms.values() if is_large(name) == large]


@pytest.mark.parametrize("name", distinct(large=False))
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


@pytest.mark.parametrize("name", distinct(large=True))
def test_a_step_of_a_large_one(name, cifar_files, shared_pictures):
    recipe = quick(name, cifar_files, shared_pictures).edit(batch=2)
    if RECIPES[name].group.startswith("CIFAR"):
        recipe = recipe.edit(data__size=16)
    plan = prepare(recipe)
    job = make_job(plan)
    state = new_state(plan.engine.place(make_model(plan, [])), recipe.optimizer, plan.engine)
    last = next(reversed(list(state.model.named_parameters())))[1]
    before = last.detach().clone()
    batch = next(iter(job.training.epoch(0)))
    train_step(state, batch, job)
    assert state.step == 1
    assert 0 < state.sums.loss.item() < 100
    assert not torch.equal(last, before)


def test_quick_shrinks_what_takes_long(cifar_files, tmp_path):
    recipe = RECIPES["resnet20-cifar10-fast"]().edit(quick=True, data__source=str(cifar_files))
    stored = train(recipe, out=tmp_path / "run", quiet=True).run.record("recipe")["recipe"]
    assert (stored["length"], stored["quick"], stored["batch"]) == ("4steps", True, 32)
    assert stored["explosion"] == 0
    assert stored["optimizer"] == recipe.to_json()["optimizer"]

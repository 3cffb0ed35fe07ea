"""Menus, help, verbs and what must answer without torch."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import convsmith
from convsmith.base.config import options
from convsmith.cli import SYNONYMS, VERBS, main
from convsmith.recipes.builtin import RECIPES
from convsmith.recipes.recipe import Recipe
from convsmith.recipes.shorthand import SHORTHAND

SOURCE = str(Path(convsmith.__file__).parents[1])
MOST = 28


@pytest.mark.parametrize("words", [(), ("--help",), ("-h",), ("help",)])
def test_the_menu(words, command):
    answer = command(*words)
    assert (answer.code, answer.err) == (0, "")
    assert all(re.search(rf"^  {verb} +\S", answer.out, re.MULTILINE) for verb in VERBS)
    lines = answer.out.splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("word", ["--version", "-V"])
def test_the_version(word, command):
    assert command(word).out == f"{convsmith.__version__}\n"


@pytest.mark.parametrize("verb", VERBS)
def test_help_is_one_screen_of_options(verb, capsys):
    with pytest.raises(SystemExit) as left:
        main([verb, "--help"])
    assert left.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: convsmith {verb}")
    shown = set(re.findall(r"^ +(?:-\w, )?(--[\w-]+)", text, re.MULTILINE)) - {"--help"}
    assert "--json" in shown
    assert len(shown) <= MOST, sorted(shown)


def test_the_help_of_train_has_the_short_options_and_examples(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    text = capsys.readouterr().out
    assert all(f"--{name.replace('_', '-')}" in text for name in SHORTHAND)
    assert "examples:" in text
    assert "--allow-other-machine" not in text


def test_help_all_lists_every_field_once(command):
    answer = command("train", "--help-all")
    assert answer.code == 0
    shown = re.findall(r"^  --(\S+)", answer.out, re.MULTILINE)
    assert shown == [path for path, *_ in options(Recipe())]
    assert all(len(line) > 60 for line in answer.out.splitlines() if line.startswith("  --")), (
        "a field without its line of help"
    )


@pytest.mark.parametrize(("word", "verb"), SYNONYMS.items())
def test_synonyms(word, verb, command):
    if word == "resume":
        answer = command(word, "nowhere")
        assert "nowhere: no such run" in answer.err
    else:
        answer = command(word, "--nonsense")
        assert f"convsmith: {verb}: " in answer.err
    assert answer.code == 2
    assert answer.err.startswith(f"({word} is convsmith {verb})\n")


def test_synonyms_that_work(command, photo_run):
    assert command("models", "lenet5", "--json").json == command("nets", "lenet5", "--json").json
    assert command("summary", "lenet5", "--json").json == command("show", "lenet5", "--json").json
    assert command("test", photo_run[0], "--json").json["count"] == 6


def test_an_unknown_verb_has_the_nearest(refused):
    assert refused("trian").startswith("unknown verb 'trian'; nearest: train")
    assert "nearest: eval" in refused("evl")


FREE = [
    [],
    ["--help"],
    ["--version"],
    *[[verb, "--help"] for verb in VERBS],
    ["nets"],
    ["nets", "resnet*", "--json"],
    ["show", "resnet50"],
    ["show", "resnet50", "--json", "--layers"],
    ["show", "resnet18", "--units", "--input", "3,64,64", "--plot", "a.svg", "--draw", "b.svg", "--svg", "c.svg"],
    ["compare", "alexnet", "vgg16", "--bars", "d.svg", "--bubbles", "e.svg", "--winners", "f.svg"],
    ["review", "alexnet"],
    ["review", "alexnet", "--json"],
    ["nets", "--edits"],
    ["reproduce"],
    ["reproduce", "vgg16-totals"],
    ["recipes"],
    ["recipes", "digits"],
    ["train", "--help-all"],
    ["train", "--nonsense"],
    ["train", "nonsense"],
    ["train", "--batch", "many"],
    ["train", "--optimizer.momentun", "1"],
    ["eval", "--nonsense"],
    ["finetune", "resnet18", "--data", "nowhere"],
    ["finetune", "resnet18", "--weights", "a.pth", "--data", "nowhere", "--at", "stage9"],
    ["predict"],
    ["nonsense"],
]
CHECK = """
import contextlib, io, json, sys
from convsmith.cli import main
for words in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        with contextlib.suppress(SystemExit):
            main(words)
    heavy = {"torch", "torchvision", "sklearn", "onnx"} & set(sys.modules)
    assert not heavy, (words, heavy)
"""


def test_help_tables_and_wrong_options_never_load_torch(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", CHECK, json.dumps(FREE)],
        env=os.environ | {"PYTHONPATH": SOURCE},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_the_command_as_a_process(tmp_path):
    """`python -m convsmith`: exit status, streams and a reader that goes away."""
    environment = os.environ | {"PYTHONPATH": SOURCE, "PYTHONUNBUFFERED": "1"}
    wrong = subprocess.run(
        [sys.executable, "-m", "convsmith", "trian"], env=environment, capture_output=True, text=True
    )
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr.startswith("convsmith: unknown verb 'trian'; nearest: train")
    gone = subprocess.Popen(
        [sys.executable, "-m", "convsmith", "nets"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    gone.stdout.close()
    assert gone.stderr.read() == b""
    gone.stderr.close()
    assert gone.wait() == 0


def test_every_recipe_is_explained(command):
    listed = command("recipes", "--json").json
    assert [row["name"] for row in listed] == list(RECIPES)
    assert all(row.keys() == {"name", "group", "run_by_us", "recipe", "sources", "about"} for row in listed)
    text = command("recipes").out
    assert all(re.search(rf"^  {name} .* {r'[+]' if RECIPES[name].was_run else ' '}  ", text, re.M) for name in RECIPES)
    assert "\nCIFAR-100\n  plain20-cifar100 " in text
    assert f"{len(RECIPES)} recipes; + has a result of ours, the others were never run by us" in text
    for name in RECIPES:
        text = command("recipes", name).out
        assert text == command("recipes", "show", name).out
        assert RECIPES[name].about in text
        assert re.search(rf"^name +{name} ", text, re.MULTILINE)
        assert "\nas in every recipe that does not say otherwise:\n" in text
    assert command("recipes", "digits", "--json").json == RECIPES["digits"]().to_json()


def test_a_recipes_values_are_shown_with_their_source(command):
    text = command("recipes", "resnet50-16ep-imagenet").out
    rules = r"rule(pattern='norm', weight_decay=0.0)"
    assert re.search(rf"^optimizer.rules +{re.escape(rules)} +rn50_16_epochs.yaml +exceptions", text, re.MULTILINE)
    grown = "progressive(first=0.625, last=0.75, start='11ep', end='13ep')"
    assert re.search(rf"^resize +{re.escape(grown)} +rn50_16_epochs.yaml ", text, re.MULTILINE)
    assert re.search(r"^seed +0 +seed of", text, re.MULTILINE)


def test_recipes_by_pattern(command, refused):
    names = [row["name"] for row in command("recipes", "*cifar100*", "--json").json]
    assert names == [name for name in RECIPES if name.endswith("cifar100")]
    assert len(names) == 22
    text = command("recipes", "imagenet").out
    assert text.count("\n  ") == 12
    assert f"\n12 of {len(RECIPES)} recipes; " in text
    assert "; nearest: resnet20-cifar10-fast, " in refused("recipes", "resnet20-cifar10-faster")
    assert refused("recipes", "show", "*").startswith("unknown recipe '*'")


def test_help_of_a_verb_may_be_asked_for_in_front(refused, capfd):
    said = []
    for words in (["help", "eval"], ["eval", "--help"]):
        with pytest.raises(SystemExit):
            main(words)
        said.append(capfd.readouterr().out)
    assert said[0] == said[1]
    assert said[0].startswith("usage: convsmith eval ")
    assert refused("help", "evil").startswith("unknown verb 'evil'; nearest: eval")

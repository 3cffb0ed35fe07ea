"""Several runs in one folder: their order, who works there, what folders of before say, and what is left at the end."""

import json
import math
import shutil
import statistics
from dataclasses import replace

import pytest

from convsmith.base.errors import BadFile, UsageError
from convsmith.base.spread import mean_interval
from convsmith.recipes.choose import choose, run_recipe
from convsmith.runs.directory import open_run
from convsmith.runs.lock import locked
from convsmith.series import running
from convsmith.series.folder import SEEDS, check_folder, claimed, experiment_name, folds_name, stated
from convsmith.series.member import Member, groups, ordered, seeded
from convsmith.series.page import Series
from convsmith.series.repeat import repeat
from convsmith.series.results import Column, Trained, columns, group_rows, spreads
from convsmith.series.running import expectation_text, expectations, train_series
from convsmith.training.interrupt import Interrupted
from convsmith.training.step import Exploded
from convsmith.work.evaluate import evaluate_run
from convsmith.work.run import train


@pytest.fixture
def recipe():
    return choose("digits", None).edit(quick=True, seed=4, engine__threads=1, engine__precision="fp32")


def of_numbers(recipe, group, **numbers):
    return Trained(Member(f"{group}{len(numbers)}", recipe, group), None, numbers)


def test_members_come_behind_those_that_they_start_from(recipe):
    given = [Member("c", recipe, after="b"), Member("a", recipe), Member("b", recipe, after="a"), Member("d", recipe)]
    assert [member.name for member in ordered(given)] == ["a", "b", "c", "d"]
    kept = [Member(name, recipe) for name in "dbca"]
    assert ordered(kept) == kept
    for wrong, message in (
        ([], "series: expected at least one member, received none"),
        ([Member("a", recipe, after="z")], "series: a is after 'z', which is not a member"),
        (
            [Member("a", recipe, after="b"), Member("b", recipe, after="a")],
            "a is after 'b', which waits for it in a ci",
        ),
        ([Member("a", recipe, after="a")], "a is after 'a', which waits for it in a circle"),
        ([Member("a", recipe), Member("a", recipe)], "a name of its own for each member's folder, received 'a'"),
        ([Member("../a", recipe)], r"a name of its own for each member's folder, received '../a'"),
        ([Member("", recipe)], "a name of its own for each member's folder, received ''"),
        ([Member("..", recipe)], "a name of its own for each member's folder, received '..'"),
    ):
        with pytest.raises(UsageError, match=message):
            ordered(wrong)


def test_seeds_make_members_of_members(recipe):
    found = seeded([Member("a", recipe), Member("b", recipe, "both", "a", place=2.0)], 2)
    assert [(m.name, m.after, m.recipe.name, m.recipe.seed, m.row, m.about) for m in found] == [
        ("a-seed4", None, "a", 4, "a", {"seed": 4}),
        ("b-seed4", "a-seed4", "b", 4, "both", {"seed": 4}),
        ("a-seed5", None, "a", 5, "a", {"seed": 5}),
        ("b-seed5", "a-seed5", "b", 5, "both", {"seed": 5}),
    ]
    assert {row: [m.name for m in those] for row, those in groups(found).items()} == {
        "a": ["a-seed4", "a-seed5"],
        "both": ["b-seed4", "b-seed5"],
    }


@pytest.mark.parametrize(
    ("values", "quantile"), [((1.0, 3.0), 12.706204736432095), ((0.5, 0.25, 0.75, 1.0, 0.25), 2.7764451051977987)]
)
def test_the_interval_of_the_mean_is_students(values, quantile):
    half = quantile * statistics.stdev(values) / math.sqrt(len(values))
    assert mean_interval(values) == pytest.approx((statistics.fmean(values) - half, statistics.fmean(values) + half))
    assert mean_interval([*values, None]) == mean_interval(values)
    assert mean_interval(values[:1]) is mean_interval([None, None]) is None
    assert mean_interval([2.0, 2.0, 2.0]) == (2.0, 2.0)


def test_every_number_is_summed_up_where_runs_have_it(recipe):
    runs = [
        of_numbers(recipe, "a", val={"score": 1.0, "other": None}),
        of_numbers(recipe, "a", val={"score": 3.0, "late": 5.0}, test={}),
    ]
    assert spreads(runs)["val"] == {
        "score": {
            "mean": 2.0,
            "deviation": math.sqrt(2),
            "low": 1.0,
            "high": 3.0,
            "interval": pytest.approx([2 - 12.706204736432095, 2 + 12.706204736432095]),
        },
        "other": {"mean": None, "deviation": None, "low": None, "high": None, "interval": None},
        "late": {"mean": 5.0, "deviation": None, "low": 5.0, "high": 5.0, "interval": None},
    }


def test_an_error_is_what_an_accuracy_lacks():
    row = {"val": {"accuracy": 0.75, "loss": 1.0}, "train": {"accuracy": 0.5, "loss": 2.0}}
    shown = columns([row], errors=True)
    assert [column.title for column in shown] == ["validation error", "training error", "training loss"]
    assert next(iter(columns([row]))).title == "validation accuracy"
    assert columns([]) == columns([{"val": {}}]) == []
    error = Column("val", "accuracy", True)
    assert (error.text(0.75), error.width(0.01), error.ends([0.7, 0.8])) == ("25.00%", "1.00%", "20.00% to 30.00%")
    spread = {"mean": 0.75, "deviation": 0.01, "interval": [0.7, 0.8]}
    found = {"groups": [{"group": "a", "n": 2, "val": {"accuracy": spread}}]}
    assert group_rows(found, shown[:1]) == [("group", "n", "validation error"), ("a", "2", "25.00% ± 1.00%")]
    assert group_rows(found, shown[:1], intervals=True)[2] == ("95% interval of the mean", "", "20.00% to 30.00%")


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """Two seeds, finished, for tests that copy or read them."""
    recipe = choose("digits", None).edit(quick=True, seed=4, engine__threads=1, engine__precision="fp32")
    return train_series(repeat(recipe, 2), tmp_path_factory.mktemp("series") / "set", quiet=True)


def test_a_repetition_leaves_a_picture_and_a_page(done):
    page, drawn = ((done.folder / name).read_text() for name in ("report.html", "picture.svg"))
    assert drawn in page
    spread = done.summary["groups"][0]["val"]["accuracy"]
    for text in (
        "digits with 2 seeds",
        "How far apart do runs lie that differ in their seed alone?",
        f"{spread['mean']:.2%} ± {spread['deviation']:.2%}",
        "95% interval of the mean",
        f"{spread['interval'][0]:.2%} to {spread['interval'][1]:.2%}",
        "seed5",
        "all members.optimizer.lr",
    ):
        assert text in page
    assert "After:" not in page
    assert "2 seeds" in drawn
    assert sorted(path.name for path in done.folder.iterdir()) == [
        "picture.svg", "report.html", "seed4", "seed5", "series.json", "summary.json",
    ]  # fmt: skip


def test_finished_runs_are_read_without_their_data(done, recipe, tmp_path, monkeypatch):
    shutil.copytree(done.folder, tmp_path / "set")
    monkeypatch.setattr(running, "resume", None)
    monkeypatch.setattr(running, "train", None)
    said = []
    again = train_series(repeat(recipe, 2), tmp_path / "set", say=said.append)
    assert said == ["run 1 of 2: seed4 is finished", "run 2 of 2: seed5 is finished"]
    assert again.summary == done.summary


def test_what_is_there_is_checked_to_be_the_members(done, recipe, tmp_path):
    folder = shutil.copytree(done.folder, tmp_path / "set")
    shutil.rmtree(folder / "seed4")
    shutil.copytree(folder / "seed5", folder / "seed4")
    with pytest.raises(UsageError, match=r"seed4: its seed is 5, and that of this series is 4; move it away to train"):
        train_series(repeat(recipe, 2), folder, quiet=True)


def test_one_process_works_in_a_folder(done, recipe, tmp_path, forks):
    folder = shutil.copytree(done.folder, tmp_path / "set")
    before = (folder / "summary.json").read_bytes()
    with locked(folder), pytest.raises(UsageError, match="set: another process trains its runs; wait for it, stop it"):
        train_series(repeat(recipe, 3), folder, quiet=True)
    assert not (folder / "seed6").exists()
    assert (folder / "summary.json").read_bytes() == before
    train_series(repeat(recipe, 2), folder, quiet=True, say=lambda text: None)
    # The lock of a process that is killed is gone with it.
    words = ["train", "digits", "--epochs", "500", "--repeat", "2", "--quiet", "--out", str(tmp_path / "killed")]
    fork = forks.start(*words)
    begun = tmp_path / "killed" / "seed0" / "checkpoints"
    assert fork.until(lambda: begun.is_dir() and any(begun.iterdir()))
    with pytest.raises(UsageError, match="killed: another process trains its runs"), locked(tmp_path / "killed"):
        pass
    fork.kill()
    with locked(tmp_path / "killed"):
        pass


def test_a_member_that_fails_ends_the_series_and_the_rest_stays(recipe, tmp_path, monkeypatch):
    def exploding(recipe, **options):
        if recipe.seed == 5:
            raise Exploded("the loss is NaN")
        return train(recipe, **options)

    monkeypatch.setattr(running, "train", exploding)
    said = []
    with pytest.raises(Exploded, match="the loss is NaN"):
        train_series(repeat(recipe, 3), tmp_path / "set", quiet=True, say=said.append)
    assert said[-1] == f"seed5 failed; what was trained stays, and the same command goes on in {tmp_path / 'set'}"
    assert sorted(path.name for path in (tmp_path / "set").iterdir()) == ["seed4", "series.json"]
    monkeypatch.undo()
    again = train_series(repeat(recipe, 3), tmp_path / "set", quiet=True, say=lambda text: None)
    assert [run["seed"] for run in again.summary["runs"]] == [4, 5, 6]


def test_a_member_starts_from_the_run_that_it_is_after(recipe, tmp_path):
    second = Member("second", recipe.edit(optimizer__lr=0.01), after="first")
    found = train_series(Series((second, Member("first", recipe))), tmp_path / "set", quiet=True, say=lambda text: None)
    assert [run["run"] for run in found.summary["runs"]] == ["first", "second"]
    assert run_recipe(tmp_path / "set" / "second").weights == str(tmp_path / "set" / "first")


def test_the_whole_is_estimated_before_it_starts(done, recipe, tmp_path, monkeypatch):
    members = repeat(recipe, 5).members
    (expected,) = expectations(members, done.folder)
    assert (expected.finished, expected.left, expected.member.name) == (2, 3, "seed4")
    assert expected.seconds == 3 * expected.each.seconds > 0
    text = expectation_text([expected])
    assert text.startswith("3 runs (2 more are finished): about ")
    assert text.endswith(", measured on a few steps of each recipe")
    logistic = replace(recipe, solver="logistic", augment=(), label_smoothing=0.0)
    assert expectation_text(expectations(repeat(logistic, 2).members, tmp_path)) == (
        "2 runs; how long they take is not known before"
    )
    said = []
    monkeypatch.setattr(running, "train", lambda recipe, **options: train(recipe.edit(quick=True), **options))
    train_series(repeat(recipe.edit(quick=False, length="1ep"), 2), tmp_path / "set", quiet=True, say=said.append)
    assert said[0].startswith("2 runs: about ")


def test_the_command_estimates_too(command, here):
    words = ["train", "digits", "--quick", "--kfold", "3", "--dry-run"]
    lines = command(*words).out.splitlines()
    assert lines[0].split() == ["recipe", "runs", "steps", "images/s", "time", "of", "one", "disk", "of", "one"]
    assert lines[2].split()[:3] == ["digits", "3", "4"]
    assert lines[3].startswith("3 runs: about ")
    found = command(*words, "--json").json
    assert (found["runs"], found["members"][0]["left"]) == (3, 3)
    assert not any(here.iterdir())


# What the version before wrote when a series began, without the fields of the recipe that have come since.
def old_recipe(recipe):
    data = recipe.to_json()
    del data["renew"], data["optimizer"]["momentum"]
    return data


@pytest.mark.parametrize(
    ("file", "record", "series", "of"),
    [
        ("summary.json", lambda old: {"recipe": old}, SEEDS, "recipe"),
        ("summary.json", lambda old: {"recipe": old, "folds": 3}, folds_name(3), "recipe"),
        (
            "experiment.json",
            lambda old: {"experiment": "tiny", "members": {"small": {"recipe": old, "start": None}}},
            experiment_name("tiny"),
            "small",
        ),
    ],
)
def test_folders_of_the_version_before_go_on(file, record, series, of, recipe, tmp_path):
    (tmp_path / file).write_text(json.dumps(record(old_recipe(recipe))))
    (tmp_path / "seed4").mkdir()
    member = Member(of, recipe)
    assert check_folder(tmp_path, series, (member,))["members"][of] == {"recipe": recipe.to_json(), "after": None}
    with claimed(tmp_path, series, (member,)):
        assert stated(tmp_path)["series"] == series
    assert json.loads((tmp_path / "series.json").read_text())["members"][of]["recipe"] == recipe.to_json()
    with pytest.raises(UsageError, match=r"other settings: (recipe.)?batch 32 there, 16 now\. Give those again to go"):
        check_folder(tmp_path, series, (replace(member, recipe=recipe.edit(batch=16)),))
    with pytest.raises(UsageError, match=f"holds {series}, expected 7 folds; choose another folder with --out"):
        check_folder(tmp_path, "7 folds", (member,))


def test_a_finished_repetition_of_the_version_before_goes_on(done, recipe, tmp_path):
    folder = shutil.copytree(done.folder, tmp_path / "set")
    for name in ("series.json", "picture.svg", "report.html"):
        (folder / name).unlink()
    old = {"recipe": old_recipe(recipe), "runs": [], "over_runs": {}}
    (folder / "summary.json").write_text(json.dumps(old))
    first = (folder / "seed4" / "result.json").read_bytes()
    found = train_series(repeat(recipe, 3), folder, quiet=True, say=lambda text: None).summary
    assert found["runs"][:2] == [run | {"group": "3 seeds"} for run in done.summary["runs"]]
    assert (folder / "seed4" / "result.json").read_bytes() == first
    assert open_run(folder / "seed6").status().state == "finished"


def test_the_test_images_may_be_left_for_later(recipe, tmp_path, monkeypatch):
    def stopped(recipe, **options):
        if recipe.seed == 5:
            # Stopped, so that the next command resumes it.
            run = train(recipe, **options).run
            (run.path / "result.json").unlink()
            run.set_status("stopped")
            raise Interrupted("stopped")
        return train(recipe, **options)

    monkeypatch.setattr(running, "train", stopped)
    with pytest.raises(Interrupted):
        train_series(repeat(recipe, 2), tmp_path / "set", quiet=True, say=lambda text: None, test=False)
    monkeypatch.undo()
    found = train_series(repeat(recipe, 2), tmp_path / "set", quiet=True, say=lambda text: None, test=False)
    assert [list(run) for run in found.summary["runs"]] == [
        ["run", "group", "seed", "val", "train", "epochs", "seconds"]
    ] * 2
    assert list(found.summary["over_runs"]) == ["val"]
    run = open_run(tmp_path / "set" / "seed4")
    metrics = run.record("result")["metrics"]
    assert metrics["test"] is None
    whole = train(recipe, out=tmp_path / "whole", quiet=True).result["metrics"]
    assert metrics["val"] == whole["val"]
    # The images are still those of the test: an evaluation reads them.
    assert evaluate_run(run.path).result.to_json() == whole["test"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "expected the fields series and members; mend: choose another folder with --out"),
        ('{"series": "x"}', "expected the fields series and members"),
        ('{"series": "x", "members": []}', "expected the fields series and members"),
        ('{"series": "x", "members": {"a": 1}}', "expected a recipe for each member"),
        ('{"series": "x", "members": {"a": {}}}', "expected a recipe for each member"),
        ("{", "expected JSON, could not read it"),
    ],
)
def test_a_damaged_statement_is_refused_and_stays(text, message, recipe, tmp_path):
    (tmp_path / "series.json").write_text(text)
    with pytest.raises(BadFile, match=message):
        train_series(repeat(recipe, 2), tmp_path, quiet=True)
    assert [path.name for path in tmp_path.iterdir()] == ["series.json"]
    assert (tmp_path / "series.json").read_text() == text


def test_a_file_in_the_folders_place_is_refused(recipe, tmp_path):
    (tmp_path / "set").write_text("mine")
    with pytest.raises(
        UsageError, match="set: expected a new or empty folder, or one of several seeds; choose another"
    ):
        train_series(repeat(recipe, 2), tmp_path / "set", quiet=True)
    assert (tmp_path / "set").read_text() == "mine"

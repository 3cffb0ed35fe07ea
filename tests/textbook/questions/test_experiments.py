"""Experiments: the runs of one folder, their table, picture and report; reuse, going on, and what is refused."""

import json
import os
import shutil
import statistics
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import convsmith
from convsmith.base.errors import BadFile, UsageError
from convsmith.cli import main
from convsmith.recipes.choose import choose, run_recipe
from convsmith.runs.directory import open_run
from convsmith.series import running
from convsmith.series.drawing import series_of
from convsmith.series.experiment import Experiment, changed, default_folder
from convsmith.series.folder import check_folder, experiment_name
from convsmith.series.member import Member, seeded
from convsmith.series.results import columns, group_rows
from convsmith.series.running import expectation_text, expectations, train_series
from convsmith.training.interrupt import Interrupted
from convsmith.work.prepare import prepare
from convsmith.work.run import train
from convsmith_textbook.questions import depth, regularization
from convsmith_textbook.questions.entries import EXPERIMENTS

ON_DIGITS = ("--quick", "--data", "digits", "--size", "8", "--quiet", "--engine.threads", "1")


def members() -> tuple[Member, ...]:
    """Two lines of the table: one of two members, and one that starts from the first."""
    base = choose("digits", None).edit(quick=True, seed=3, engine__threads=1, engine__precision="fp32")
    return (
        Member("small", base, "from nothing", panel="a", place=1.0),
        Member("large", base.edit(network="lenet5_d2l", data__size=28), "from nothing", panel="a", place=2.0),
        Member("second", base.edit(optimizer__lr=0.01), after="small", panel="b", place=2.0),
    )


TINY = Experiment("three small runs", "Which is best?", "a paper, table 1", members, "courses")


def quietly(folder: Path, seeds: int = 2, those: tuple[Member, ...] | None = None):
    return train_series(series_of("tiny", TINY, those or members(), seeds), folder, quiet=True, say=lambda text: None)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory):
    """The three members with two seeds, finished, for tests that only read them."""
    return quietly(tmp_path_factory.mktemp("experiment") / "tiny")


@pytest.fixture(scope="module")
def quick_se(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished experiment, trained by the command, for tests that only read it."""
    folder = tmp_path_factory.mktemp("quick") / "se"
    assert main(["reproduce", "se", *ON_DIGITS, "--json", "--out", str(folder)]) == 0
    return folder


def without_times(summary: dict) -> dict:
    return summary | {"runs": [run | {"seconds": 0} for run in summary["runs"]]}


def test_the_table_is_of_the_runs(done):
    runs = {run["run"]: run for run in done.summary["runs"]}
    assert list(runs) == [f"{name}-seed{seed}" for seed in (3, 4) for name in ("small", "large", "second")]
    for name, found in runs.items():
        run = open_run(done.folder / name)
        metrics, row = run.record("result")["metrics"], run.metrics()[-1]
        for split in ("val", "test"):
            assert [found[split][name] for name in ("accuracy", "loss")] == [
                metrics[split][name] for name in ("accuracy", "loss")
            ]
        assert found["train"] == {"loss": row["train_loss"], "accuracy": row["train_accuracy"]}
        assert run_recipe(run.path).seed == found["seed"]
    first, second = done.summary["groups"]
    assert (first["group"], first["n"], second["group"], second["n"]) == ("from nothing", 4, "second", 2)
    for group, names in ((first, ("small", "large")), (second, ("second",))):
        for split, number in (("val", "accuracy"), ("test", "loss"), ("train", "accuracy"), ("train", "loss")):
            values = [runs[f"{name}-seed{seed}"][split][number] for seed in (3, 4) for name in names]
            expected = (statistics.fmean(values), statistics.stdev(values), min(values), max(values))
            assert tuple(group[split][number].values())[:4] == pytest.approx(expected, rel=1e-12)
    assert json.loads((done.folder / "summary.json").read_text()) == done.summary
    header, *rows = group_rows(done.summary, columns(done.summary["runs"], errors=True))
    assert header == ("group", "n", "validation error", "test error", "training error", "training loss")
    error, loss = second["val"]["accuracy"], second["train"]["loss"]
    assert rows[1][2] == f"{1 - error['mean']:.2%} ± {error['deviation']:.2%}"
    assert rows[1][-1] == f"{loss['mean']:.4f} ± {loss['deviation']:.4f}"


def test_a_member_starts_from_an_earlier_run_of_its_seed(done):
    for seed in (3, 4):
        start = open_run(done.folder / f"second-seed{seed}").record("recipe")["start"]
        assert Path(start["source"]).name == f"small-seed{seed}"


def test_a_run_is_that_of_train(done, tmp_path):
    alone = train(replace(members()[0].recipe, seed=4), out=tmp_path / "alone", quiet=True).result
    assert open_run(done.folder / "small-seed4").record("result")["metrics"] == alone["metrics"]


def test_page_and_picture(done):
    page, drawn = ((done.folder / name).read_text() for name in ("report.html", "picture.svg"))
    assert drawn in page
    assert "default-src 'none'" in page
    for text in (
        "Which is best?",
        "After: a paper, table 1",
        "from nothing",
        "second-seed4",
        "all members.batch",
        "large.network",
    ):
        assert text in page
    second = done.summary["groups"][1]
    assert f"second: training ends at {1 - second['train']['accuracy']['mean']:.1%}" in drawn
    assert f"validation at {1 - second['val']['accuracy']['mean']:.1%}" in drawn


def test_what_is_finished_stays_and_more_seeds_are_added(tmp_path, monkeypatch):
    (member, *_) = members()
    quietly(tmp_path / "set", 1, (member,))
    first = (tmp_path / "set" / "small-seed3" / "result.json").read_bytes()
    trained = []

    def counted(recipe, **options):
        trained.append(options["out"].name)
        return train(recipe, **options)

    monkeypatch.setattr(running, "train", counted)
    again = quietly(tmp_path / "set", 2, (member,))
    assert trained == ["small-seed4"]
    assert (tmp_path / "set" / "small-seed3" / "result.json").read_bytes() == first
    assert [run["seed"] for run in again.summary["runs"]] == [3, 4]
    run = open_run(tmp_path / "set" / "small-seed3")
    run.write_record("recipe", run.record("recipe") | {"recipe": run_recipe(run.path).edit(length="9steps").to_json()})
    with pytest.raises(UsageError, match=r"small-seed3: its length is 9steps, and that of this series is 4steps; move"):
        quietly(tmp_path / "set", 2, (member,))


def test_a_stopped_experiment_goes_on_and_gives_the_same(done, tmp_path, monkeypatch):
    def stopped(recipe, **options):
        if options["out"].name == "large-seed3":
            raise Interrupted("stopped")
        return train(recipe, **options)

    monkeypatch.setattr(running, "train", stopped)
    with pytest.raises(Interrupted):
        quietly(tmp_path / "set")
    assert sorted(path.name for path in (tmp_path / "set").iterdir()) == ["series.json", "small-seed3"]
    monkeypatch.undo()
    assert without_times(quietly(tmp_path / "set").summary) == without_times(done.summary)


def test_nothing_is_left_where_no_run_could_begin(tmp_path):
    broken = replace(members()[0], recipe=members()[0].recipe.edit(data__source="nowhere"))
    with pytest.raises(UsageError, match="no such path"):
        quietly(tmp_path / "new" / "set", 1, (broken,))
    assert not (tmp_path / "new").exists()


def test_other_settings_and_other_folders_are_refused(done, tmp_path):
    other = changed(members(), lambda recipe: recipe.edit(optimizer__lr=0.2 + recipe.optimizer.lr, batch=8))
    expected = r"its runs of small have other settings: batch 32 there, 8 now; optimizer.lr 0.05 there, 0.25 now. Give"
    with pytest.raises(UsageError, match=expected):
        quietly(done.folder, 2, other)
    with pytest.raises(UsageError, match="holds the experiment tiny, expected the experiment degradation; choose"):
        check_folder(done.folder, experiment_name("degradation"), members())
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="mine: expected a new or empty folder, or one of the experiment tiny"):
        quietly(tmp_path / "mine")
    (tmp_path / "mine" / "notes.txt").rename(tmp_path / "mine" / "series.json")
    with pytest.raises(BadFile, match="expected JSON"):
        quietly(tmp_path / "mine")
    (tmp_path / "mine" / "series.json").write_text("[]")
    with pytest.raises(BadFile, match="expected the fields series and members; mend"):
        quietly(tmp_path / "mine")


def test_members_that_become_the_same_are_refused():
    with pytest.raises(UsageError, match="with these options small and second are the same run, so that nothing"):
        changed(
            tuple(replace(m, after=None) for m in members() if m.name != "large"),
            lambda recipe: recipe.edit(optimizer__lr=0.1),
        )


def test_what_is_expected_counts_what_is_left(done):
    expected = expectations(seeded(members(), 3), done.folder)
    assert [(e.finished, e.left) for e in expected] == [(2, 1)] * 3
    assert all(e.each is not None and e.each.steps == 4 and e.seconds == e.each.seconds > 0 for e in expected)
    assert expectation_text(expected).startswith("3 runs of 3 recipes (6 more are finished): about ")
    finished = expectations(seeded(members(), 2), done.folder)
    assert [e.each for e in finished] == [None] * 3
    assert expectation_text(finished) == "all 6 runs are finished"


@pytest.mark.parametrize("name", [*depth.EXPERIMENTS, *regularization.EXPERIMENTS])
def test_every_experiment(name, tmp_path):
    """Every member can be prepared; the first and the last are trained, quickly."""
    experiment = EXPERIMENTS[name]
    assert isinstance(experiment, Experiment)
    size = 32 if experiment.members()[0].recipe.data.size == 32 else 8
    settings = {"quick": True, "data__source": "digits", "data__images": None, "data__size": size}
    those = changed(experiment.members(), lambda recipe: recipe.edit(**settings, engine__threads=1))
    assert len({member.name for member in those}) == len(those) >= 3
    assert all(member.after is None or member.after in {m.name for m in those} for member in those)
    for member in those:
        assert prepare(member.recipe).network.classes == 10
    ends = (those[0], those[-1])
    found = train_series(series_of(name, experiment, ends, 1), tmp_path / name, quiet=True)
    assert [run["run"] for run in found.summary["runs"]] == [f"{member.name}-seed0" for member in ends]
    drawn = (tmp_path / name / "picture.svg").read_text()
    series = {member.panel for member in ends if member.panel} if experiment.picture == "lines" else set()
    for text in series or {member.row for member in ends}:
        assert f"{text}:" in drawn or f"{text} " in drawn


def test_by_the_command(quick_se, command, refused, here):
    shutil.copytree(quick_se, here / default_folder("se", True))
    answer = command("reproduce", "se", *ON_DIGITS)
    assert (answer.code, answer.err) == (0, "")
    lines = answer.out.splitlines()
    assert [line.split()[:2] for line in lines[2:5]] == [["without", "1"], ["se-16", "1"], ["se-4", "1"]]
    assert lines[-1] == f"report   {default_folder('se', True) / 'report.html'}"
    again = command("reproduce", "se", *ON_DIGITS, "--json").json
    assert again["folder"] == "runs/experiment-se-quick"
    assert {"folder": again["folder"], **json.loads((quick_se / "summary.json").read_text())} == again
    assert lines[2].split()[3] == f"{1 - again['groups'][0]['test']['accuracy']['mean']:.2%}"
    error = refused("reproduce", "se", *ON_DIGITS, "--optimizer.lr", "0.2")
    assert error == (
        "runs/experiment-se-quick: its runs of without have other settings: optimizer.lr 0.05 there, 0.2 now. "
        "Give those again to go on, or another folder with --out"
    )
    planned = command("reproduce", "se", *ON_DIGITS, "--dry-run", "--seeds", "2", "--json").json
    assert (planned["runs"], [row["left"] for row in planned["members"]]) == (3, [1, 1, 1])
    assert planned["seconds"] == pytest.approx(sum(row["estimate"]["seconds"] for row in planned["members"]))
    text = command("reproduce", "se", *ON_DIGITS, "--dry-run", "--out", "new").out
    assert text.splitlines()[-1].startswith("3 runs of 3 recipes: about ")
    assert not Path("new").exists()


def test_what_the_command_refuses(refused, here):
    assert refused("reproduce", "se", "--seeds", "0") == "reproduce: --seeds must be at least 1, received 0"
    assert refused("reproduce", "vgg16-totals", "se") == (
        "reproduce: experiments train, so one is named alone, received vgg16-totals, se"
    )
    assert refused("reproduce", "degr*") == (
        "reproduce: 'degr*' matches no figure; experiments train, so one is named in full: degradation"
    )
    assert "nearest: degradation" in refused("reproduce", "degredation")
    assert refused("reproduce", "se", "--batch-size=8").startswith("reproduce: unknown option --batch-size; nearest:")
    same = refused("reproduce", "stochastic-depth", "--edits", "drop_path=0.1")
    assert same.startswith("with these options all-branches and drop-0.2 are the same run")
    few = refused("reproduce", "se", "--data", "digits", "--dry-run")
    assert few.startswith("data.images: expected 10 (one of each class) to 1366 (all that train), received 10000")


def test_every_field_of_a_recipe_is_an_option(command, refused, here, photo_run):
    fields = {"network": "plain20_cifar", "batch": "16", "stem": "large", "lr": "0.02", "precision": "fp32"}
    words = [word for name, value in fields.items() for word in (f"--{name}", value)]
    rows = command("reproduce", "se", *ON_DIGITS, "--dry-run", "--json", *words).json
    for row in rows["members"]:
        recipe = row["recipe"]
        found = {**recipe, "lr": recipe["optimizer"]["lr"], "precision": recipe["engine"]["precision"]}
        assert {name: str(found[name]) for name in fields} == fields
    of_others = refused("reproduce", "se", *ON_DIGITS, "--dry-run", *words, "--weights", photo_run[0])
    assert of_others.startswith(f"{photo_run[0]}: do not fit plain20_cifar")
    same = "are the same run, so that nothing is compared; leave out the options that set what the members vary"
    assert refused("reproduce", "degradation", "--network", "resnet20_cifar").endswith(same)
    assert refused("reproduce", "batch-norm", "--batch", "32").endswith(same)
    assert refused("reproduce", "initialization", "--batch", "32").startswith(
        "reproduce: initialization trains nothing, so --batch cannot be given"
    )


def test_an_interrupted_run_of_another_machine_goes_on_where_that_is_allowed(quick_se, command, refused, here):
    folder = here / default_folder("se", True)
    shutil.copytree(quick_se, folder)
    run = folder / "se-16-seed0"
    record = json.loads((run / "recipe.json").read_text())
    record["engine"] |= {"torch_version": "1.0"}
    open_run(run).write_record("recipe", record)
    (run / "result.json").unlink()
    open_run(run).set_status("stopped")
    message = refused("reproduce", "se", *ON_DIGITS)
    assert message.endswith("go on all the same with --allow-other-machine")
    found = command("reproduce", "se", *ON_DIGITS, "--allow-other-machine", "--json").json
    before = json.loads((quick_se / "summary.json").read_text())
    assert without_times(found)["runs"] == without_times(before)["runs"]


def test_all_and_patterns_train_nothing(command, here):
    names = [row["entry"] for row in command("reproduce", "batch-norm*", "--json").json]
    assert names
    assert not set(names) & set(EXPERIMENTS)
    assert not (here / "runs").exists()


FREE = """
import contextlib, io, sys
from convsmith.cli import main
for words in [[], ["--json"], ["degr*"], ["se", "--seeds", "0"], ["se", "--help"], ["batch-norm", "--nonsense"]]:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()), \\
        contextlib.suppress(SystemExit):
        main(["reproduce", *words])
print({"torch", "torchvision", "sklearn"} & set(sys.modules))
"""


def test_listing_and_refusing_load_no_torch(tmp_path):
    environment = os.environ | {"PYTHONPATH": str(Path(convsmith.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", FREE], env=environment, capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout == "set()\n"


def test_a_killed_experiment_goes_on_and_gives_the_same(quick_se, forks, command, here):
    words = ("reproduce", "se", *ON_DIGITS, "--json")
    whole = json.loads((quick_se / "summary.json").read_text())
    fork = forks.start(*words, "--out", str(here / "killed"))
    begun = here / "killed" / "se-16-seed0" / "checkpoints"
    assert fork.until(lambda: begun.is_dir() and any(begun.iterdir()))
    fork.kill()
    again = command(*words, "--out", "killed").json
    assert without_times(again)["runs"] == without_times(whole)["runs"]
    assert again["groups"] == whole["groups"]

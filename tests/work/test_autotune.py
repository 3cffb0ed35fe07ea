"""The trial of engines: what is taken and why not, what is remembered, what a run keeps of it."""

import json
from dataclasses import asdict, fields, replace

import pytest
import torch

from convsmith.base.remembered import remember
from convsmith.nets.source import open_network
from convsmith.recipes.recipe import Recipe
from convsmith.training.engine import Engine
from convsmith.work import autotune
from convsmith.work.autotune import CLEARLY, TOLERANCE, Found, describe, tune
from convsmith.work.prepare import prepare
from convsmith.work.run import train


@pytest.fixture
def plan(tmp_path, monkeypatch):
    """A small run; findings are kept in a folder of the test's own."""
    monkeypatch.setenv("CONVSMITH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(autotune, "cores", lambda: 2)
    recipe = Recipe(network="lenet5").edit(data__source="digits", data__size=32, batch=16, length="20000steps")
    return prepare(recipe.edit(engine__compile="off"))


@pytest.fixture
def timed(monkeypatch):
    """`timed(seconds)`: steps are not taken; an engine's step takes what the function says, and so does its loss."""

    def use(seconds, losses=lambda engine: 2.0, start=10.0):
        class Fake(autotune._Candidate):
            def __init__(self, plan, engine, job, batches):
                self.engine, self.seconds, self.losses, self.start_seconds = engine, [], losses(engine), start
                self.job = job

            def time(self):
                self.seconds.append(seconds(self.engine))
                return self.seconds[-1]

        monkeypatch.setattr(autotune, "_Candidate", Fake)

    return use


def test_the_fastest_is_taken_one_change_after_the_other(plan, timed):
    timed(lambda engine: (1.0 if engine.channels_last else 2.0) * (1.5 if engine.threads == 1 else 1.0))
    tuning = tune(plan)
    assert (tuning.engine.channels_last, tuning.engine.threads) == (True, plan.engine.threads)
    assert [trial.taken for trial in tuning.trials] == [True, True, False]
    assert [trial.images_per_second for trial in tuning.trials] == pytest.approx([8, 16, 16 / 1.5])
    assert tuning.trials[2].why == "0.67 times the speed of the best so far"


def test_what_is_hardly_faster_is_not_taken(plan, timed):
    timed(lambda engine: 1.0 if engine.channels_last else 1.0 * CLEARLY - 0.001)
    assert not tune(plan).engine.channels_last


def test_what_changes_the_loss_is_not_taken(plan, timed):
    timed(lambda engine: 0.1 if engine.channels_last else 1.0, lambda engine: 2.1 if engine.channels_last else 2.0)
    tuning = tune(plan)
    assert not tuning.engine.channels_last
    assert tuning.trials[1].loss_gap == pytest.approx(0.05)
    assert tuning.trials[1].loss_gap > TOLERANCE
    assert tuning.trials[1].why == "its loss is 5.0% off that of fp32, more than 2%"


@pytest.mark.parametrize(("steps", "taken"), [("20000steps", True), ("30steps", False)])
def test_a_run_is_compiled_where_that_pays(steps, taken, plan, timed, monkeypatch):
    monkeypatch.setattr(autotune, "may_compile", lambda options, device: True)
    timed(lambda engine: 0.5 if engine.compile else 1.0)
    tuning = tune(replace(plan, recipe=plan.recipe.edit(length=steps)))
    assert tuning.engine.compile is taken
    if not taken:
        assert (
            tuning.trials[-1].why == "2.00 times the speed, which so short a run does not make up for 10 s of compiling"
        )


def test_what_the_user_set_stays(plan, timed):
    asked = replace(plan, recipe=plan.recipe.edit(engine__threads=1, engine__channels_last=False))
    asked = replace(asked, engine=replace(plan.engine, threads=1, channels_last=False, precision="bf16"))
    timed(lambda engine: 1.0)
    kept = tune(replace(asked, recipe=asked.recipe.edit(engine__precision="bf16"))).engine
    assert (kept.threads, kept.channels_last, kept.precision) == (1, False, "bf16")


def test_a_module_that_takes_no_channels_last_never_gets_them(plan, timed):
    """Whether it does is found when the run is prepared; the option says only that it may be tried."""
    timed(lambda engine: 0.1 if engine.channels_last else 1.0)
    tuning = tune(replace(plan, engine=replace(plan.engine, channels_last=False)))
    assert not any(trial.engine.channels_last for trial in tuning.trials)
    assert plan.recipe.engine.channels_last


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (RuntimeError("C++ compile\n error"), "it fails (RuntimeError: C++ compile error)"),
        (torch.OutOfMemoryError("CUDA out of memory"), "it does not fit into memory beside the best so far"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "it does not fit into memory beside the best so"),
    ],
    ids=["compiler", "GPU", "processor"],
)
def test_an_engine_that_fails_is_a_trial_with_its_reason(error, why, plan, timed):
    def losses(engine):
        if engine.channels_last:
            raise error
        return 2.0

    timed(lambda engine: 0.5 if engine.threads == 1 else 1.0, losses)
    said = []
    tuning = tune(plan, said.append)
    failed, taken = tuning.trials[1:]
    assert (failed.images_per_second, failed.loss_gap, failed.start_seconds, failed.taken) == (None, None, None, False)
    assert failed.why.startswith(why)
    assert said[1] == f"trying engines: {describe(failed.engine)}: {failed.why}"
    assert taken.taken
    assert (tuning.engine.channels_last, tuning.engine.threads) == (False, 1)


def test_what_was_found_is_remembered_for_this_shape(plan, timed):
    timed(lambda engine: 1.0 if engine.channels_last else 2.0)
    found = tune(plan).engine
    timed(lambda engine: 3.0 if engine.channels_last else 2.0)
    said = []
    assert tune(plan, said.append).engine == found
    assert tune(plan, said.append).trials == ()
    assert said[0] == f"engine from an earlier trial of this network on this machine: {describe(found)}"
    other = replace(plan, recipe=plan.recipe.edit(batch=8))
    assert tune(other).engine != found
    assert tune(plan, fresh=True).engine != found


def test_only_what_the_trial_chose_is_remembered(plan, timed, tmp_path):
    """The machine and its versions are told anew: a resume would else see another machine."""
    timed(lambda engine: 1.0 if engine.channels_last else 2.0)
    tune(plan)
    (kept,) = json.loads((tmp_path / "cache" / autotune.FILE).read_text()).values()
    assert kept.keys() == {field.name for field in fields(Found)}
    later = replace(plan, engine=replace(plan.engine, pillow_version="99.0"))
    assert tune(later).engine == replace(later.engine, **kept)
    assert tune(later).trials == ()
    remember(autotune.FILE, autotune._key(plan), asdict(plan.engine))  # of another form: found again
    assert len(tune(plan).trials) > 1


def test_what_the_fastest_engine_depends_on(plan, modules, given, monkeypatch):
    def key(**changes):
        return autotune._key(replace(plan, **changes))

    one = open_network(given(f"{modules}:make"), classes=10, channels=1)
    modules.write_text(modules.read_text() + "# another\n")
    other = open_network(given(f"{modules}:make"), classes=10, channels=1)
    keys = [
        key(),
        key(recipe=plan.recipe.edit(resize="progressive(0.5)")),
        key(recipe=plan.recipe.edit(batch=8)),
        key(network=one),
        key(network=other),
        key(network=replace(one, arguments={"classes": 9, "channels": 1})),
    ]
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert len({*keys, key()}) == len(keys) + 1
    monkeypatch.delenv("CXX")
    assert key(engine=replace(plan.engine, pillow_version="99.0")) == keys[0]


@pytest.fixture
def drawn(monkeypatch):
    """The epochs whose batches trials have drawn."""
    epochs, make = [], autotune.make_job

    def watched(plan):
        job = make(plan)
        epoch = job.training.epoch
        monkeypatch.setattr(job.training, "epoch", lambda number: epochs.append(number) or epoch(number))
        return job

    monkeypatch.setattr(autotune, "make_job", watched)
    return epochs


def test_a_run_keeps_the_engine_that_a_real_trial_found(plan, drawn, tmp_path):
    said = []
    recipe = plan.recipe.edit(length="3steps", engine__autotune=True)
    run = train(recipe, out=tmp_path / "run", quiet=True, say=said.append).run
    assert drawn == [0]  # once for all engines: reading is not what is timed
    tried = [text.removeprefix("trying engines: ") for text in said if text.startswith("trying engines: ")]
    assert tried[0].startswith("fp32, channels first, ")
    kept = Engine(**run.record("recipe")["engine"])
    # The last that was taken: no objection in brackets follows its speed.
    assert [text for text in tried if text.endswith("images/s")][-1].startswith(f"{describe(kept)}: ")
    assert kept == replace(plan.engine, **{field.name: getattr(kept, field.name) for field in fields(Found)})

"""A loader with a state: what died or paused goes on with the same bits, and a state of another kind is refused."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from convsmith.base.errors import BadFile, UsageError
from convsmith.base.processes import Part
from convsmith.data.loaders import Loader
from convsmith.runs.checkpoints import load_checkpoint
from convsmith.runs.directory import open_run
from convsmith.training import fit
from convsmith.training.interrupt import Interrupted
from convsmith.training.job import LOADER
from convsmith.training.solver import Beside
from convsmith.work import prepare, run
from convsmith.work.run import resume, train

TIMES = {"seconds", "images_per_second", "data_wait"}


class Replay(Loader):
    """A memory of 20 examples; a batch adds 3 that were not there, and draws the rest by a generator."""

    def __init__(self, images):
        first = next(iter(images.epoch(0)))
        self.kind, self.examples, self.steps, self.batch = images.kind, images.examples, images.steps, images.batch
        self.images = images
        self.generator = torch.Generator().manual_seed(5)
        self.memory, self.answers = first.images[:0], first.targets[:0]

    def epoch(self, epoch, start=0):
        for seen in self.images.epoch(epoch, start):
            self.memory = torch.cat([self.memory, seen.images[:3]])[-20:]
            self.answers = torch.cat([self.answers, seen.targets[:3]])[-20:]
            at = torch.randint(len(self.memory), (self.batch,), generator=self.generator)
            yield seen._replace(inputs=self.memory[at], targets=self.answers[at])

    def pack(self):
        return {"memory": self.memory, "answers": self.answers, "generator": self.generator.get_state()}

    def unpack(self, tensors):
        self.memory, self.answers = tensors["memory"], tensors["answers"]
        self.generator.set_state(tensors["generator"])


@pytest.fixture
def replaying(monkeypatch):
    honest = prepare.training_loader
    monkeypatch.setattr(prepare, "training_loader", lambda *args, **more: Replay(honest(*args, **more)))
    return honest


@pytest.fixture
def short(recipe):
    return recipe.edit(checkpoint_every="2steps", optimizer__lr=0.05)


def dies_at(monkeypatch, moment):
    honest = fit.train_step

    def step(state, *more):
        if state.step == moment:
            raise KeyboardInterrupt
        return honest(state, *more)

    monkeypatch.setattr(fit, "train_step", step)


def bits(path):
    saved = load_checkpoint(open_run(path))
    rows = [{key: value for key, value in row.items() if key not in TIMES} for row in open_run(path).metrics()]
    return {**saved.model, **saved.state}, rows


def check_equal(path, other):
    (mine, log), (theirs, logged) = bits(path), bits(other)
    assert mine.keys() == theirs.keys()
    assert [name for name in mine if not torch.equal(mine[name], theirs[name])] == []
    assert log == logged


@pytest.mark.parametrize("average", [None, "swa('30%', '4steps')"])
def test_a_run_that_died_or_paused_gets_its_memory_back(average, short, replaying, tmp_path, monkeypatch):
    recipe = short.edit(optimizer__average=average) if average else short
    train(recipe, out=tmp_path / "straight", quiet=True)
    kept = bits(tmp_path / "straight")[0]
    assert {name for name in kept if name.startswith(LOADER)} == {
        f"{LOADER}{name}" for name in ("memory", "answers", "generator")
    }
    assert len(kept[f"{LOADER}memory"]) == 20
    with monkeypatch.context() as within:
        dies_at(within, 9)  # in the second epoch, a step after a checkpoint, with a memory that has gone on
        with pytest.raises(Interrupted):
            train(recipe, out=tmp_path / "died", quiet=True)
    resume(tmp_path / "died", quiet=True)
    check_equal(tmp_path / "straight", tmp_path / "died")
    train(recipe, out=tmp_path / "paused", quiet=True, after_epoch=lambda row: row["epoch"] == 2)
    resume(tmp_path / "paused", quiet=True)
    check_equal(tmp_path / "straight", tmp_path / "paused")


def test_without_its_memory_a_run_would_end_with_other_bits(short, replaying, tmp_path, monkeypatch):
    train(short, out=tmp_path / "straight", quiet=True)
    train(short, out=tmp_path / "paused", quiet=True, after_epoch=lambda row: row["epoch"] == 2)
    monkeypatch.setattr(Replay, "unpack", lambda self, tensors: None)
    resume(tmp_path / "paused", quiet=True)
    mine, theirs = (bits(tmp_path / name)[0] for name in ("straight", "paused"))
    assert not torch.equal(mine["out.weight"], theirs["out.weight"])


def test_a_state_of_another_loader_is_refused(short, replaying, tmp_path, monkeypatch):
    train(short, out=tmp_path / "run", quiet=True, after_epoch=lambda row: True)
    monkeypatch.setattr(prepare, "training_loader", replaying)
    message = "the state of the loader: expected none, received answers, generator, memory"
    with pytest.raises(BadFile, match=message):
        resume(tmp_path / "run", quiet=True)
    train(short, out=tmp_path / "plain", quiet=True, after_epoch=lambda row: True)
    monkeypatch.setattr(prepare, "training_loader", lambda *args, **more: Replay(replaying(*args, **more)))
    with pytest.raises(BadFile, match="expected answers, generator, memory, received none"):
        resume(tmp_path / "plain", quiet=True)


def test_several_processes_cannot_share_a_state(short, replaying):
    plan = prepare.prepare(short)
    job = prepare.make_job(plan)
    job = replace(job, world=SimpleNamespace(part=Part(0, 2)))
    with pytest.raises(UsageError, match="a loader with a state works in one process, received 2"):
        fit.fit(job, None, None, Beside(None))


def test_a_solver_is_what_the_recipe_names(short, tmp_path, monkeypatch):
    asked = []

    def found(job, state, run, beside):
        asked.append((state.step, job.span.total_steps))
        state.step = job.span.total_steps
        fit.save_state(job, state, run, best=True)
        return "finished"

    monkeypatch.setitem(run.SOLVERS, "steps", lambda plan, model, say, quiet: found)
    outcome = train(short, out=tmp_path / "run", quiet=True)
    assert (asked, outcome.result["ended"], outcome.result["steps"]) == ([(0, 24)], "finished", 24)

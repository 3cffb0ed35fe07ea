"""A run with any method of optimization that dies and is resumed ends with the bits of one that did not."""

from typing import Any

import pytest
import torch

from convsmith.recipes.recipe import Recipe
from convsmith.runs.checkpoints import load_checkpoint
from convsmith.runs.directory import RunDirectory
from convsmith.training import fit
from convsmith.training.explosion import Stop
from convsmith.training.interrupt import Interrupted
from convsmith.training.job import new_state, pack, unpack
from convsmith.training.optimizers import OPTIMIZERS
from convsmith.training.options import Optimizer
from convsmith.work.run import resume, train

TIMES = {"seconds", "images_per_second", "data_wait"}
EVERYTHING = {
    "optimizer__clip": 0.5, "optimizer__accumulate": 2, "optimizer__sam": 0.05, "optimizer__lookahead": "lookahead(5)",
    "optimizer__average": "ema(0.8, '30%')",
}  # fmt: skip
CASES: dict[str, dict[str, Any]] = {
    **{kind: {"optimizer__kind": kind, "optimizer__lr": 0.01} for kind in OPTIMIZERS if kind != "sgd"},
    "layout": {"optimizer__kind": "muon", "optimizer__lr": 0.01, "engine__channels_last": False},
    "rules": {
        "optimizer__rules": "rule('norm|bias', weight_decay=0),rule('^out', lr=2),rule('^features.1', freeze=True)"
    },
    "clip": {"optimizer__clip": 0.3},
    "accumulate": {"optimizer__accumulate": 3},
    "sam": {"optimizer__sam": 0.1},
    "lookahead": {"optimizer__lookahead": "lookahead(4, 0.5)"},
    "ema": {"optimizer__average": "ema(0.9)"},
    "late ema": {"optimizer__average": "ema(0.9, '60%')"},
    "swa": {"optimizer__average": "swa('30%', '1ep')"},
    "swa within epochs": {"optimizer__average": "swa('20%', '4steps')"},
    "everything": {**EVERYTHING, "optimizer__kind": "muon", "optimizer__lr": 0.01},
    "everything with swa": {**EVERYTHING, "optimizer__kind": "lamb", "optimizer__average": "swa('30%', '5steps')"},
    "growing images": {"resize": "progressive(0.5, 1.0, '10%', '70%', 2)"},
    "compiled": {"engine__compile": "on"},
    "exponential": {"schedule__kind": "exponential"},
    "one cycle": {"schedule__kind": "one_cycle", "schedule__warmup": "30%"},
    "warm-up by error": {"schedule__warmup_error": 0.62, "schedule__kind": "constant"},
    "plateau": {"schedule__kind": "plateau", "schedule__patience": "1ep", "optimizer__lr": 0.5, "explosion": 0},
}


@pytest.fixture
def recipe(modules, pictures, given):
    """A plain module with a norm and dropout on 48 images: 6 steps an epoch, a checkpoint after every two."""
    return Recipe(network=given(f"{modules}:make")).edit(
        data__source=str(pictures), length="4ep", batch=8, augment="crop(2),flip", engine__precision="fp32",
        engine__threads=1, checkpoint_every="2steps", optimizer__lr=0.05,
    )  # fmt: skip


@pytest.fixture
def dying(monkeypatch):
    """`dying(9)`: the process dies at the beginning of that step, with nothing more written."""
    honest = fit.train_step

    def at(moment: int | None) -> None:
        def step(state, batch, job, asked):
            if state.step == moment:
                raise KeyboardInterrupt
            return honest(state, batch, job, asked)

        monkeypatch.setattr(fit, "train_step", step)

    return at


def outcome(run: RunDirectory) -> dict[str, Any]:
    """Everything of a finished run that must not depend on interruptions."""
    saved = load_checkpoint(run)
    state = {key: value for key, value in saved.meta["state"].items() if key not in ("seconds", "busy")}
    return {
        "tensors": {**saved.model, **saved.state},
        "best": load_checkpoint(run, "best").model,
        "state": state,
        "metrics": [{key: value for key, value in row.items() if key not in TIMES} for row in run.metrics()],
        "result": run.record("result")["metrics"],
    }


@pytest.mark.parametrize("case", CASES)
def test_a_run_that_died_twice_ends_with_the_same_bits(case, recipe, dying, tmp_path):
    recipe = recipe.edit(**CASES[case])
    expected = outcome(train(recipe, out=tmp_path / "straight", quiet=True).run)
    died = tmp_path / "died"
    dying(9)  # in the second epoch, a step after a checkpoint
    with pytest.raises(Interrupted):
        train(recipe, out=died, quiet=True)
    dying(17)
    with pytest.raises(Interrupted):
        resume(died, quiet=True)
    dying(None)
    received = outcome(resume(died, quiet=True).run)
    for kind in ("tensors", "best"):
        mine, theirs = received.pop(kind), expected.pop(kind)
        assert mine.keys() == theirs.keys()
        assert [name for name in mine if not torch.equal(mine[name], theirs[name])] == []
    assert received == expected


def test_the_warm_up_by_error_of_that_case_ends_within_the_run(recipe, tmp_path):
    rows = train(recipe.edit(**CASES["warm-up by error"]), out=tmp_path / "run", quiet=True).run.metrics()
    low = [row["lr"] == pytest.approx(0.005) for row in rows]
    ended = [1 - row["train_accuracy"] < 0.62 for row in rows].index(True)
    assert 0 < ended + 1 < len(rows)
    assert low == [True] * (ended + 1) + [False] * (len(rows) - ended - 1)


def test_checkpoints_of_before_are_read(recipe):
    """They have neither averages nor the losses of the last steps, and have the first step's loss and the worst."""
    from convsmith.work.prepare import make_job, make_model, prepare

    plan = prepare(recipe)
    loader = make_job(plan).training
    states = [new_state(make_model(plan, []), Optimizer(), plan.engine) for _ in range(2)]
    model, tensors, data = pack(states[0], loader)
    for name in ("sums.norm", "recent"):
        del tensors[name]
    tensors["sums.worst"] = torch.zeros((), dtype=torch.float64)
    for name in ("averaged", "warmed", "start_loss", "recent_steps"):
        del data[name]
    for first, start in ((1.25, 1.25), (-1.25, 1.25), (None, None)):
        unpack(states[1], loader, model, tensors, data | {"step": 7, "first_loss": first})
        assert (states[1].step, states[1].warmed) == (7, False)
        assert (states[1].start_loss, states[1].recent.count) == (start, 0)


def test_a_run_that_died_judges_the_same_losses(recipe, dying, monkeypatch, tmp_path):
    judged: list[tuple[int, list[float], float | None]] = []
    honest = Stop.exploded

    def noting(stop, losses, step, start):
        judged.append((step, list(losses), start))
        return honest(stop, losses, step, start)

    monkeypatch.setattr(Stop, "exploded", noting)
    train(recipe, out=tmp_path / "straight", quiet=True)
    straight = judged.copy()
    assert [len(losses) for _, losses, _ in straight] == [*range(1, 20), 20, 20, 20, 20, 20]
    dying(9)
    with pytest.raises(Interrupted):
        train(recipe, out=tmp_path / "died", quiet=True)
    judged.clear()
    dying(None)
    resume(tmp_path / "died", quiet=True)
    assert judged == straight[8:]

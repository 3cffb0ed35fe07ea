"""Several processes take the steps that one takes."""

import json

import pytest
import torch
import torch.distributed as dist

from convsmith.base.errors import UsageError
from convsmith.base.processes import Part
from convsmith.data.dataset import open_data
from convsmith.data.loaders import evaluation_loader, training_loader
from convsmith.data.options import DataOptions
from convsmith.nets.families.resnet import resnet_cifar
from convsmith.nets.modules.build import build
from convsmith.runs.checkpoints import load_checkpoint
from convsmith.runs.directory import open_run
from convsmith.tasks.task import Losses
from convsmith.training.distributed import Group
from convsmith.training.options import EngineOptions
from convsmith.training.step import step_seed
from convsmith.work.evaluate import evaluate_run

TIMES = {"seconds", "images_per_second", "data_wait"}
CASES = {
    # About 800 images to evaluate in four batches, of which two processes take two each; both counts are odd or prime.
    "mixed images, clip, accumulate, ema": [
        "--data.split", "10/45/45", "--augment", "crop(2),flip,mixup(0.4),cutmix(1.0)", "--label_smoothing", "0.1",
        "--optimizer.clip", "0.5", "--optimizer.accumulate", "3", "--optimizer.average", "ema(0.8)",
    ],
    "sam, lookahead, muon": [
        "--optimizer.sam", "0.05", "--optimizer.lookahead", "lookahead(2)", "--optimizer.kind", "muon", "--lr", "0.003",
    ],
}  # fmt: skip


def numbers(path):
    """A run's tensors and rows without times."""
    saved, run = load_checkpoint(open_run(path)), open_run(path)
    rows = [{key: value for key, value in row.items() if key not in TIMES} for row in run.metrics()]
    return {**saved.model, **saved.state}, rows


@pytest.mark.parametrize("case", CASES)
def test_two_processes_take_the_steps_of_one(case, group, command, forks, lenet, limit, printed, tmp_path):
    words = [*lenet, *CASES[case], "--evaluate_every", "3steps"]
    both = group(*words, "--out", tmp_path / "two")
    assert command(*words, "--out", tmp_path / "one").code == 0
    assert [process.wait(limit) for process in both] == [0, 0], forks.log.read_text()
    (mine, rows), (theirs, wanted) = numbers(tmp_path / "two"), numbers(tmp_path / "one")
    assert [row.keys() for row in rows] == [row.keys() for row in wanted]
    for row, want in zip(rows, wanted, strict=True):
        assert row == pytest.approx(want, rel=1e-4)
    assert mine.keys() == theirs.keys()
    for name in theirs:
        assert torch.allclose(mine[name].double(), theirs[name].double(), rtol=1e-3, atol=2e-5), name
    # Each image once, whichever process it went through.
    states = [load_checkpoint(open_run(tmp_path / name)).meta["state"] for name in ("one", "two")]
    assert [state["images"] for state in states] == [7 * 33] * 2
    # One process printed its result, as one that is alone does.
    assert [result["run"] for result in printed()] == [str(tmp_path / "two")]
    # The evaluation of the same weights by one process gives the same bits.
    result = open_run(tmp_path / "two").record("result")
    for split in ("val", "test"):
        alone = evaluate_run(tmp_path / "two", split=split, engine=EngineOptions(device="cpu", threads=1)).result
        assert json.loads(json.dumps(alone.to_json())) == result["metrics"][split]


def test_two_processes_fine_tune_as_one_does(group, command, forks, limit, common, printed, photo_run, tmp_path):
    """Weights and frozen statistics come from the first process, which alone has read them."""
    words = ["finetune", photo_run[0], "--data", photo_run[1], "--mode", "probe", "--epochs", "2", "--batch", "9"]
    words += [*common, "--lr", "0.02"]
    both = group(*words, "--out", tmp_path / "two")
    assert command(*words, "--out", tmp_path / "one").code == 0
    assert [process.wait(limit) for process in both] == [0, 0], forks.log.read_text()
    (result,) = printed()
    assert result["finetune"]["mode"] == "probe"
    (mine, rows), (theirs, wanted) = numbers(tmp_path / "two"), numbers(tmp_path / "one")
    for row, want in zip(rows, wanted, strict=True):
        assert row == pytest.approx(want, rel=1e-4)
    for name in theirs:
        assert torch.allclose(mine[name].double(), theirs[name].double(), rtol=1e-3, atol=2e-5), name


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("loader", ["resident", "streaming"])
def test_the_parts_of_an_epoch_make_the_whole(size, loader):
    data = open_data(DataOptions(source="digits", loader=loader, workers=0))

    def batches(part):
        made = training_loader(
            data.train, data.preprocess, DataOptions(loader=loader, workers=0), batch=50, seed=1, part=part
        )
        assert (made.batch, made.steps, made.examples) == (50, 28, 1400)
        return list(made.epoch(2, start=25))

    whole, parts = batches(Part()), [batches(Part(rank, size)) for rank in range(size)]
    for step, batch in enumerate(whole):
        slices = [part[step] for part in parts]
        assert max(len(s.targets) for s in slices) - min(len(s.targets) for s in slices) <= 1
        for field in range(4):
            assert torch.equal(torch.cat([s[field] for s in slices]), batch[field])


def test_a_batch_has_an_image_for_each_process():
    data = open_data(DataOptions(source="digits"))
    with pytest.raises(UsageError, match=r"^batch: each of 3 processes takes a slice of it, so expected at least 3"):
        training_loader(data.train, data.preprocess, DataOptions(), batch=2, seed=1, part=Part(0, 3))


@pytest.mark.parametrize("size", [2, 3])
def test_whole_batches_are_evaluated_in_turn(size):
    data = open_data(DataOptions(source="digits"))

    def batches(part):
        return list(evaluation_loader(data.test, data.preprocess, DataOptions(), batch=20, part=part).epoch(0))

    whole, parts = batches(Part()), [batches(Part(rank, size)) for rank in range(size)]
    assert sum(len(b.targets) for b in whole) == 179
    assert sum(map(len, parts)) == len(whole) == 9
    for number, batch in enumerate(whole):
        assert torch.equal(parts[number % size][number // size].positions, batch.positions)
        assert torch.equal(parts[number % size][number // size].images, batch.images)


@pytest.mark.parametrize(("begin", "end", "size"), [(0, 9, 2), (64, 128, 3), (5, 5, 4), (7, 9, 8)])
def test_slices_cover_a_range_in_order(begin, end, size):
    slices = [Part(rank, size).slice(begin, end) for rank in range(size)]
    assert [n for low, high in slices for n in range(low, high)] == list(range(begin, end))
    assert max(high - low for low, high in slices) - min(high - low for low, high in slices) <= 1


def test_dropout_differs_by_process_and_is_that_of_one_in_the_first():
    seeds = [step_seed(3, 17, rank) for rank in range(4)]
    assert seeds[0] == step_seed(3, 17)
    assert len(set(seeds)) == 4


@pytest.fixture
def group_of_one():
    """A process group that has one process."""
    one = Group(dist.HashStore(), Part(), patience=60)
    one.begin()
    one.open(torch.device("cpu"))
    yield one
    dist.destroy_process_group()


def test_the_device_is_asked_for_a_stop_only_where_it_is_looked_at(group_of_one):
    loss, correct = torch.tensor(0.5), torch.tensor(3)
    for asked, look in ((True, True), (True, False), (False, True)):
        found, stop = group_of_one.totals(Losses(loss, correct, {"kl": torch.tensor(2.0)}), asked, look)
        assert (found.total, found.right, found.parts) == (0.5, 3.0, {"kl": 2.0})
        assert group_of_one.totals(Losses(loss), asked, look)[0] == Losses(loss)
        assert stop is (asked and look)


def test_buffers_are_sent_at_each_step_only_for_modules_that_are_no_trees(group_of_one):
    tree, other = build(resnet_cifar(depth=8)), torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))
    assert any(True for _ in tree.buffers())
    assert not group_of_one.parallel(tree).will_sync_module_buffers()
    assert group_of_one.parallel(other).will_sync_module_buffers()

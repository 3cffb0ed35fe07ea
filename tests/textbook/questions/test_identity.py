"""A deeper network that begins as a trained one: the difference of outputs, and that it goes on learning."""

import pytest
import torch

from convsmith.nets.cost import cost
from convsmith.nets.zoo import edit, network
from convsmith.runs.directory import open_run
from convsmith.runs.subject import open_subject
from convsmith.series.drawing import series_of
from convsmith.series.experiment import changed
from convsmith.series.member import seeded
from convsmith.series.running import train_series
from convsmith.series.running import trained as read
from convsmith_textbook.questions.identity import EXPERIMENTS, MORE
from convsmith_textbook.questions.identity_checks import difference_at_start

EXPERIMENT = EXPERIMENTS["identity"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("identity") / "runs"
    settings = {"quick": True, "data__source": "digits", "data__images": None, "data__size": 8, "batch": 16}
    members = changed(EXPERIMENT.members(), lambda recipe: recipe.edit(**settings))
    pairs = tuple(member for member in members if not member.name.endswith("anew"))
    done = train_series(series_of("identity", EXPERIMENT, pairs, 1), folder, quiet=True)
    return folder, {member.name: member for member in seeded(pairs, 1)}, done.summary


@pytest.mark.parametrize("kind", ["plain", "residual"])
def test_the_deeper_network_begins_as_the_shallow_one_and_goes_on(trained, kind):
    folder, members, _ = trained
    name = f"{kind}-deeper-seed0"
    run = read(members[name], open_run(folder / name))
    difference, images, largest = difference_at_start(run)
    assert (difference, images) == (0.0, 90)
    assert largest > 0
    before, after = (
        open_subject(folder / f"{kind}-{which}-seed0").module.state_dict() for which in ("shallow", "deeper")
    )
    assert set(before) < set(after)
    assert not torch.equal(before["head.linear.weight"], after["head.linear.weight"])


def test_the_summary_says_it(trained):
    _, _, summary = trained
    assert [line.split(" outputs")[0] for line in summary["checks"]] == [
        "plain-deeper-seed0 begins as plain-shallow-seed0:",
        "residual-deeper-seed0 begins as residual-shallow-seed0:",
    ]
    assert all("differ by at most 0 on 90 validation images" in line for line in summary["checks"])


def test_what_is_added():
    """Three units of two convolutions in each stage; three convolutions after the last ReLU of each, the stem's too."""
    for name, layers in (("resnet20_cifar", 18), ("plain20_cifar", 12)):
        before, after = network(name), edit(network(name), MORE)
        counts = [sum(type(step.node).__name__ == "Conv" for step in tree.trace().steps) for tree in (before, after)]
        assert counts[1] - counts[0] == layers
        assert cost(after).params > cost(before).params

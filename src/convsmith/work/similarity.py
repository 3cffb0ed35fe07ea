"""Measures how well features of trained weights suit other images: a linear probe behind every stage."""

from dataclasses import dataclass

import numpy as np

from convsmith.data.examples import spread
from convsmith.engines.features import LAST, features
from convsmith.nets.model import tree_of
from convsmith.work.last_layer import Say, frozen
from convsmith.work.prepare import Plan, make_model

# The numbers of images of a probe: enough to tell stages apart in a few seconds.
MOST_TRAIN, MOST_VAL = 2000, 1000
# On fewer validation images, the best of several stages is best by chance.
LEAST_VAL = 50
_PENALTIES = tuple(float(f"1e{power}") for power in range(-1, 6))


@dataclass(frozen=True)
class Similarity:
    """The accuracy of a linear probe behind each stage, by name in the network's order, on `count` validation images.

    A task is similar to the source's if accuracies rise up to the last stage. If an earlier stage is best, the later
    ones are specific to the source's classes (Yosinski et al. 2014, figure 2).
    """

    accuracies: dict[str, float]
    count: int

    @property
    def last(self) -> str:
        """The name of the last stage."""
        return list(self.accuracies)[-1]

    @property
    def best(self) -> str:
        """The name of the stage with the highest accuracy; the later one if two are equal."""
        return max(reversed(self.accuracies), key=lambda name: self.accuracies[name])

    @property
    def margin(self) -> float:
        """The standard error of the best accuracy."""
        share = self.accuracies[self.best]
        return (share * (1 - share) / self.count) ** 0.5

    @property
    def similar(self) -> bool:
        """Whether the last stage is as good as the best one, within its standard error; true for few images."""
        return self.count < LEAST_VAL or self.accuracies[self.last] >= self.accuracies[self.best] - self.margin


def measure_similarity(plan: Plan, say: Say = lambda text: None, quiet: bool = True) -> Similarity:
    """The accuracies of probes behind the stages of the plan's network, with the weights that it starts from."""
    tree_of(plan.network, "its stages cannot be compared; say --mode probe or full")
    network, data = frozen(plan, make_model(plan, [])), plan.dataset
    train, val = (
        (features(network, some, plan.recipe.data, quiet=quiet, say=say), some.labels)
        for some in (of.subset(spread(len(of), most)) for of, most in ((data.train, MOST_TRAIN), (data.val, MOST_VAL)))
    )
    stages = {name: at for name, at in network.columns.items() if name != LAST}
    accuracies = {
        name: probe_accuracy((train[0][:, at].astype(np.float64), train[1]), (val[0][:, at], val[1]))
        for name, at in stages.items()
    }
    return Similarity(accuracies, len(val[1]))


def probe_accuracy(train: tuple[np.ndarray, np.ndarray], val: tuple[np.ndarray, np.ndarray]) -> float:
    """The accuracy on `val` of ridge regression onto the classes of `train`: features (N, features), classes (N,).

    Features are scaled to deviation 1. The penalty is chosen by leave-one-out on the training images, in closed form.
    """
    from sklearn.linear_model import RidgeClassifierCV  # imported here: it takes a second

    mean, deviation = train[0].mean(axis=0), train[0].std(axis=0)
    deviation[deviation < 1e-12] = 1.0
    probe = RidgeClassifierCV(alphas=_PENALTIES).fit((train[0] - mean) / deviation, train[1])
    return float(np.mean(probe.predict((val[0] - mean) / deviation) == val[1]))

"""How far the features of trained weights serve other images: a linear probe behind every stage."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from convsmith.base.errors import UsageError
from convsmith.data.augment import normalise
from convsmith.data.examples import Examples, spread
from convsmith.data.loaders import evaluation_loader
from convsmith.nets.build import BuiltNetwork
from convsmith.recipes.prepare import EVALUATION_BATCH, Plan, make_model
from convsmith.training.engine import using

# Enough for a probe to tell stages apart, and a few seconds of work.
MOST_TRAIN, MOST_VAL = 2000, 1000
_PENALTIES = tuple(float(f"1e{power}") for power in range(-1, 6))


@dataclass(frozen=True)
class Similarity:
    """The accuracy of a linear probe behind each stage, by name in the network's order, on `count` validation images.

    A task is like the source's where features only get better to the last stage; where they are best earlier, the rest
    has become special to the source's own classes (Yosinski et al. 2014, figure 2).
    """

    accuracies: dict[str, float]
    count: int

    @property
    def last(self) -> str:
        """The last stage."""
        return list(self.accuracies)[-1]

    @property
    def best(self) -> str:
        """The stage with the highest accuracy, the later of equals."""
        return max(reversed(self.accuracies), key=lambda name: self.accuracies[name])

    @property
    def margin(self) -> float:
        """The standard error of the best accuracy."""
        share = self.accuracies[self.best]
        return (share * (1 - share) / self.count) ** 0.5

    @property
    def similar(self) -> bool:
        """Whether the last stage is as good as the best one, within its standard error."""
        return self.accuracies[self.last] >= self.accuracies[self.best] - self.margin


def measure_similarity(plan: Plan) -> Similarity:
    """Probe the stages of the plan's network, with the weights that it starts from, before anything is learned."""
    module = plan.engine.place(make_model(plan, []))
    if not isinstance(module, BuiltNetwork):
        raise UsageError(f"{plan.network.name} is no tree, so its stages cannot be compared; say --mode probe or full")
    data = plan.dataset
    parts = [(data.train, MOST_TRAIN), (data.val, MOST_VAL)]
    with using(plan.engine):
        train, val = (stage_features(module.eval(), of.subset(spread(len(of), most)), plan) for of, most in parts)
    return Similarity(
        {name: probe_accuracy((train[0][name], train[1]), (val[0][name], val[1])) for name in train[0]}, len(val[1])
    )


def stage_features(module: BuiltNetwork, examples: Examples, plan: Plan) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Each stage's output, averaged over its positions: (N, channels) by name, and the classes (N,)."""
    data, engine = plan.dataset, plan.engine
    loader = evaluation_loader(
        examples, data.preprocess, plan.recipe.data, batch=min(EVALUATION_BATCH, 64), device=engine.device
    )
    found: dict[str, list[np.ndarray]] = {name: [] for name, _ in module.tree.stages}
    with torch.no_grad():
        for batch in loader.epoch(0):
            outputs = module.features(normalise(batch.images, data.preprocess, memory_format=engine.memory_format))
            for name, output in outputs.items():
                found[name].append(_averaged(output).double().cpu().numpy())
    return {name: np.concatenate(parts) for name, parts in found.items()}, examples.labels


def probe_accuracy(train: tuple[np.ndarray, np.ndarray], val: tuple[np.ndarray, np.ndarray]) -> float:
    """The accuracy on `val` of ridge regression onto the classes of `train`: features (N, features), classes (N,).

    Features have deviation 1; the penalty is chosen by leaving out one training image at a time, in closed form.
    """
    from sklearn.linear_model import RidgeClassifierCV  # a second of imports that other runs do without

    mean, deviation = train[0].mean(axis=0), train[0].std(axis=0)
    deviation[deviation < 1e-12] = 1.0
    probe = RidgeClassifierCV(alphas=_PENALTIES).fit((train[0] - mean) / deviation, train[1])
    return float(np.mean(probe.predict((val[0] - mean) / deviation) == val[1]))


def _averaged(output: Tensor) -> Tensor:
    return output if output.ndim == 2 else output.flatten(2).mean(dim=2)

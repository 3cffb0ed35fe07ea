"""The optimizers by kind: torch's, where it has one."""

from collections.abc import Callable
from typing import Any

import torch

from convsmith.base.table import Table
from convsmith.training.lamb import Lamb
from convsmith.training.muon import FILTERS, FilterMuon
from convsmith.training.options import Optimizer

# Groups of parameters as torch takes them: `params` and what they have of their own.
Groups = list[dict[str, Any]]


def sgd(groups: Groups, options: Optimizer) -> torch.optim.Optimizer:
    """Stochastic gradient descent with momentum."""
    return torch.optim.SGD(groups, lr=options.lr, momentum=options.momentum, nesterov=options.nesterov)


def adam(groups: Groups, options: Optimizer) -> torch.optim.Optimizer:
    """Adam (Kingma and Ba 2015)."""
    return torch.optim.Adam(groups, lr=options.lr, betas=_betas(options), eps=_eps(options))


def adamw(groups: Groups, options: Optimizer) -> torch.optim.Optimizer:
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019)."""
    return torch.optim.AdamW(groups, lr=options.lr, betas=_betas(options), eps=_eps(options))


def rmsprop(groups: Groups, options: Optimizer) -> torch.optim.Optimizer:
    """RMSprop with momentum (Tieleman and Hinton 2012); `eps` is added after the root, by TensorFlow before it."""
    alpha = 0.99 if options.beta2 is None else options.beta2
    return torch.optim.RMSprop(groups, lr=options.lr, alpha=alpha, eps=_eps(options), momentum=options.momentum)


def lamb(groups: Groups, options: Optimizer) -> torch.optim.Optimizer:
    """LAMB, for large batches."""
    return Lamb(groups, lr=options.lr, betas=_betas(options), eps=_eps(options, 1e-6))


def muon(groups: Groups, options: Optimizer) -> torch.optim.Optimizer:
    """Muon for filters, which have three axes or more, and AdamW for all other parameters."""
    parts = [
        {**group, "params": chosen, FILTERS: filters}
        for group in groups
        for filters in (True, False)
        if (chosen := [p for p in group["params"] if (p.ndim >= 3) == filters])
    ]
    return FilterMuon(
        parts, lr=options.lr, momentum=options.momentum, nesterov=options.nesterov, betas=_betas(options),
        eps=_eps(options),
    )  # fmt: skip


OPTIMIZERS: Table[Callable[[Groups, Optimizer], torch.optim.Optimizer]] = Table(
    "optimizer", {"sgd": sgd, "adam": adam, "adamw": adamw, "rmsprop": rmsprop, "lamb": lamb, "muon": muon}
)


def _betas(options: Optimizer) -> tuple[float, float]:
    return options.momentum, 0.999 if options.beta2 is None else options.beta2


def _eps(options: Optimizer, own: float = 1e-8) -> float:
    return own if options.eps is None else options.eps

"""Every experiment by name. Listing them needs no torch."""

from convsmith.base.table import Table
from convsmith.experiments import depth, identity, initialisation, regularisation, transferability
from convsmith.experiments.experiment import Experiment, Measurement

EXPERIMENTS: Table[Experiment | Measurement] = Table(
    "experiment",
    {
        **initialisation.EXPERIMENTS,
        **depth.EXPERIMENTS,
        **identity.EXPERIMENTS,
        **regularisation.EXPERIMENTS,
        **transferability.EXPERIMENTS,
    },
)

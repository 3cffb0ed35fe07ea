"""Every experiment by name. Listing them needs no torch."""

from convsmith.base.table import Table
from convsmith.series.experiment import Experiment, Measurement
from convsmith_textbook.questions import depth, identity, initialization, regularization, transferability

EXPERIMENTS: Table[Experiment | Measurement] = Table(
    "experiment",
    {
        **initialization.EXPERIMENTS,
        **depth.EXPERIMENTS,
        **identity.EXPERIMENTS,
        **regularization.EXPERIMENTS,
        **transferability.EXPERIMENTS,
    },
)

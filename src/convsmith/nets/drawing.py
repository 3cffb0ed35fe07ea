"""A network as a picture."""

from typing import TYPE_CHECKING

from convsmith.nets.stages import summarise
from convsmith.report.architecture import stages_svg

if TYPE_CHECKING:
    from convsmith.nets.network import Network  # which draws itself with this


def draw(network: "Network") -> str:
    """The stages of a network as SVG: their sizes, what they are made of, and their shares of the cost."""
    return stages_svg(summarise(network))

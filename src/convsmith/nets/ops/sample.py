"""The operator that draws at random in training and in evaluation: a variational autoencoder's latent values."""

from dataclasses import dataclass

from convsmith.base.errors import UsageError
from convsmith.nets.shape import Shape
from convsmith.nets.tree import Leaf, TorchCall
from convsmith.report.text import many


@dataclass(frozen=True, slots=True)
class Sample(Leaf):
    """A draw from a normal distribution by the reparameterisation of Kingma and Welling 2014, section 2.4.

    The first half of the channels is the mean, the second the logarithm of the variance; the output is
    mean + exp(log-variance / 2) * noise. `forward(x, noise=...)` sets the noise: a draw is then a function of keys.
    """

    def output(self, x: Shape) -> Shape:
        if x.channels % 2:
            raise UsageError(
                f"a sample needs a mean and a log-variance of one size, receives {many(x.channels, 'channel')}"
            )
        return Shape(x.channels // 2, x.spatial)

    def elementwise(self, x: Shape, y: Shape) -> int:
        return 4 * y.elements  # half, exponential, product, sum

    def torch(self, x: Shape) -> TorchCall:
        return TorchCall("convsmith.nets.modules.random_layers.Sample", {"shape": tuple(self.output(x))})

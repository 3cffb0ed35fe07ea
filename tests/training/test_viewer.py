"""A network seen through views: the answers against the same ones made by hand."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from convsmith.base.errors import UsageError
from convsmith.data.augment import normalize
from convsmith.data.preprocess import ImageInput
from convsmith.data.views import Draws, read_views
from convsmith.nets.modules.build import build
from convsmith.nets.network import Network
from convsmith.nets.source import Foreign
from convsmith.nets.zoo import edit, network
from convsmith.training.engine import resolve
from convsmith.training.options import EngineOptions
from convsmith.training.step import step_seed
from convsmith.training.viewer import Viewer, make_viewer, random_layers

ENGINE = resolve(EngineOptions(device="cpu", precision="fp32", channels_last=False, threads=1))
PREPROCESS = ImageInput(mode="L", size=(32, 32), mean=(0.4,), std=(0.3,))


@pytest.fixture
def images() -> Tensor:
    return torch.randint(0, 256, (3, 1, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def larger(side: int) -> Tensor:
    return torch.randint(0, 256, (2, 1, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(side))


def viewer_of(tree: Network, text: str, temperature: float = 1.0) -> tuple[nn.Module, Viewer]:
    module = build(tree, seed=3).eval()
    return module, make_viewer(module, tree, read_views(text), PREPROCESS, ENGINE, temperature)


def probabilities(module: nn.Module, images: Tensor) -> Tensor:
    with torch.no_grad():
        return module(normalize(images, PREPROCESS)).double().softmax(1)


def test_mirror_and_shifts_count_as_in_airbench_for_probabilities_where_that_averages_logits(images: Tensor) -> None:
    module, viewer = viewer_of(network("lenet5"), "translate(1),mirror")

    def mirrored(x: Tensor) -> Tensor:
        return 0.5 * probabilities(module, x) + 0.5 * probabilities(module, x.flip(-1))

    wide = functional.pad(images.float(), (1,) * 4, "reflect").to(torch.uint8)
    moved = (mirrored(wide[:, :, :32, :32]) + mirrored(wide[:, :, 2:, 2:])) / 2
    found = viewer.outputs([images], 0)
    assert found.dtype == torch.float64
    assert torch.allclose(found.exp(), 0.5 * mirrored(images) + 0.5 * moved, atol=1e-6)
    assert not torch.allclose(found.exp(), probabilities(module, images), atol=1e-4)


def test_a_temperature_divides_the_outputs_of_each_view(images: Tensor) -> None:
    module, viewer = viewer_of(network("lenet5"), "mirror", temperature=2.5)
    with torch.no_grad():
        both = [(module(normalize(x, PREPROCESS)).double() / 2.5).softmax(1) for x in (images, images.flip(-1))]
    assert torch.allclose(viewer.outputs([images], 0).exp(), sum(both) / 2, atol=1e-6)


def test_scales_count_alike() -> None:
    module, viewer = viewer_of(network("lenet5"), "multi_scale(32, 40)")
    at_32, at_40 = larger(32), larger(40)
    expected = (probabilities(module, at_32) + probabilities(module, at_40[:, :, 4:36, 4:36])) / 2
    assert torch.allclose(viewer.outputs([at_32, at_40], 0).exp(), expected, atol=1e-6)
    assert viewer.batch(100) == 64


def test_dense_is_the_network_itself_where_it_pools_over_the_whole_map() -> None:
    module, viewer = viewer_of(network("resnet20_cifar", channels=1), "multi_scale(40),dense")
    assert viewer.module is module
    images = larger(40)
    assert torch.allclose(viewer.outputs([images], 0).exp(), probabilities(module, images), atol=1e-6)


def test_dense_is_the_mean_over_all_places_where_a_layer_takes_a_map_of_one_size() -> None:
    module, viewer = viewer_of(network("lenet5"), "multi_scale(40),dense")
    images = normalize(larger(40), PREPROCESS)
    # Without padding, and with features four pixels apart, each place is the network on the window there.
    windows = [images[:, :, y : y + 32, x : x + 32] for y in (0, 4, 8) for x in (0, 4, 8)]
    with torch.no_grad():
        mean = torch.stack([module(window).double() for window in windows]).mean(0)
    assert torch.allclose(viewer.outputs([larger(40)], 0).exp(), mean.softmax(1), atol=1e-6)


def test_dense_of_a_network_that_cannot_is_refused() -> None:
    tree = network("resnet20_cifar", channels=1)
    with pytest.raises(UsageError, match=r"dense: lenet5 cannot take images of 2x2"):
        make_viewer(build(network("lenet5"), seed=0), network("lenet5"), read_views("multi_scale(2),dense"), PREPROCESS,
                    ENGINE)  # fmt: skip
    assert make_viewer(build(tree, seed=0), tree, read_views("multi_scale(48),dense"), PREPROCESS, ENGINE)


@pytest.mark.parametrize("text", ["dropout=0.4", "pool='fractional'", "pool='stochastic'"])
def test_draws_are_the_mean_of_explicit_runs(text: str, images: Tensor) -> None:
    tree = edit(network("lenet5"), text)
    module, viewer = viewer_of(tree, "draws(3)")
    before = torch.get_rng_state()
    found = viewer.outputs([images], 5)
    assert torch.equal(torch.get_rng_state(), before)
    assert not any(layer.training for layer in module.modules())
    assert torch.equal(found, viewer.outputs([images], 5))
    assert not torch.equal(found, viewer.outputs([images], 6))
    draws: list[Tensor] = []
    with torch.random.fork_rng():
        for draw in range(3):
            torch.manual_seed(step_seed(step_seed(0, draw), 5))
            for layer in random_layers(module, Draws(3)):
                layer.train()
            draws.append(probabilities(module, images))
            module.eval()
    assert not torch.equal(draws[0], draws[1])
    assert torch.allclose(found.exp(), sum(draws) / 3, atol=1e-9)


def test_draws_leave_norms_and_the_other_kind_as_in_evaluation(images: Tensor) -> None:
    tree = edit(edit(network("resnet20_cifar", channels=1), "dropout=0.4"), "drop_path=0.2")
    module, viewer = viewer_of(tree, "draws(2, dropout)")
    kinds = {type(layer).__name__ for layer in random_layers(module, Draws(2))}
    assert kinds == {"Dropout", "DropPath"}
    statistics = {name: value.clone() for name, value in module.state_dict().items()}
    viewer.outputs([images], 0)
    assert all(torch.equal(value, statistics[name]) for name, value in module.state_dict().items())
    with pytest.raises(UsageError, match="draws: the network has no layer with random pooling, so that every draw"):
        viewer_of(tree, "draws(2, pooling)")


def test_noise_of_no_deviation_changes_nothing(images: Tensor) -> None:
    module, viewer = viewer_of(network("lenet5"), "noisy(3, 0)")
    assert torch.allclose(viewer.outputs([images], 0).exp(), probabilities(module, images), atol=1e-9)


def test_an_image_has_its_answer_under_noise_in_any_batch(images: Tensor) -> None:
    module, viewer = viewer_of(network("lenet5"), "noisy(4, 0.2)")
    found = viewer.outputs([images], 0)
    assert torch.equal(found, viewer.outputs([images], 7))
    for row, order in ((0, [2]), (1, [1, 0]), (0, [0, 2, 1, 2])):
        part = viewer.outputs([images[order]], 3)
        assert torch.allclose(part[row], found[order[row]], atol=1e-6)
    assert not torch.allclose(found.exp(), probabilities(module, images), atol=1e-4)


class Recorded(nn.Module):
    """A linear network of two classes that keeps its outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.flatten = nn.Flatten()
        self.linear = nn.Linear(1024, 2)
        self.seen: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        y = self.linear(self.flatten(x))
        self.seen.append(y.detach().double())
        return y


def test_a_linear_networks_mean_under_noise_is_its_answer_without() -> None:
    """Its outputs' mean and deviation, and the mean of its probabilities against the integral over the noise."""
    generator = torch.Generator().manual_seed(4)
    images = torch.randint(110, 146, (2, 1, 32, 32), dtype=torch.uint8, generator=generator)  # far from 0 and 255
    module, draws, deviation = Recorded().eval(), 600, 0.08
    with torch.no_grad():
        module.linear.weight.copy_(torch.randn(2, 1024, generator=generator) * 0.1)
    views = read_views(f"noisy({draws}, {deviation})")
    viewer = make_viewer(module, Foreign("own.py:make", {}, ""), views, PREPROCESS, ENGINE)
    with torch.no_grad():
        clean = module(normalize(images, PREPROCESS)).double()
    module.seen.clear()
    found = viewer.outputs([images], 0).exp()
    outputs = torch.stack(module.seen)
    assert outputs.shape == (draws, 2, 2)
    # Each output moves by w . noise / std, with the deviation |w| * deviation / std.
    weight = module.linear.weight.detach().double()
    moved = weight.norm(dim=1) * deviation / PREPROCESS.std[0]
    assert (moved > 0.5).all()
    assert ((outputs.mean(0) - clean).abs() <= 4.5 * moved / draws**0.5).all()
    assert torch.allclose(outputs.std(0), moved.expand(2, 2), rtol=0.12)
    # Of two classes the probability is a sigmoid of the difference, whose noise is Gaussian: a rule of 201 points.
    gap, width = clean[:, 0] - clean[:, 1], (weight[0] - weight[1]).norm() * deviation / PREPROCESS.std[0]
    points = torch.linspace(-6, 6, 201, dtype=torch.float64)
    shares = torch.exp(-points.square() / 2)
    integral = ((gap[:, None] + width * points).sigmoid() * shares).sum(1) / shares.sum()
    assert torch.allclose(found[:, 0], integral, atol=4.5 * 0.5 / draws**0.5)
    assert (integral - gap.sigmoid()).abs().max() > 0.001


def test_a_module_of_others_is_taken_as_it_is_or_tried() -> None:
    foreign = Foreign("modules.py:make", {}, "")
    views = read_views("multi_scale(40),dense")
    pooled = nn.Sequential(nn.Conv2d(1, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10)).eval()
    viewer = make_viewer(pooled, foreign, views, PREPROCESS, ENGINE)
    assert torch.allclose(viewer.outputs([larger(40)], 0).exp(), probabilities(pooled, larger(40)), atol=1e-6)
    flat = nn.Sequential(nn.Flatten(), nn.Linear(1024, 10)).eval()
    with pytest.raises(UsageError, match=r"dense: the module failed on images of 40x40 pixels \(mat1 and mat2 .*leave"):
        make_viewer(flat, foreign, views, PREPROCESS, ENGINE)

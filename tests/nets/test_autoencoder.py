"""Autoencoders: their counts by hand, the decoder alone, draws by given noise, and edits that they take or refuse."""

import pytest
import torch
from torch import nn

from convsmith.base.errors import UnknownName, UsageError
from convsmith.data.keys import keys
from convsmith.data.keys import noise as keyed_noise
from convsmith.nets.cost import cost
from convsmith.nets.modules.build import build
from convsmith.nets.network import Network
from convsmith.nets.ops import Conv, Flatten, Linear, Sample
from convsmith.nets.shape import Shape
from convsmith.nets.tree import MAIN, Keep, Use, add, seq
from convsmith.nets.zoo import edit, network

VGG16 = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


@pytest.fixture
def digits():
    return torch.rand(6, 1, 28, 28, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def noise():
    return torch.randn(6, 32, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def vae():
    return build(network("vae_mnist"), seed=0).eval()


def test_mirrored_vgg_counts_each_convolution_twice():
    convs, side, before = [], 224, 3
    for widths in VGG16:
        for width in widths:
            convs.append((before, width, side * side))
            before = width
        side //= 2
    linears = [(512 * 49, 4096), (4096, 4096), (4096, 4096), (4096, 512 * 49)]
    weights = sum(2 * 9 * a * b for a, b, _ in convs) + sum(a * b for a, b in linears)
    biases = sum(b + a for a, b, _ in convs) + sum(b for _, b in linears)
    macs = sum(2 * 9 * a * b * positions for a, b, positions in convs) + sum(a * b for a, b in linears)
    numbers = cost(network("autoencoder_vgg16"))
    assert (numbers.params, numbers.macs) == (weights + biases, macs)
    # VGG-16 without its classifier, and the two hidden layers of that: the encoder.
    features = sum(9 * a * b + b for a, b, _ in convs)
    assert features == cost(network("vgg16")).params - (25088 + 1) * 4096 - 4097 * 4096 - 4097 * 1000
    encoder = [row for row in numbers.layers if row.name.startswith(("stage", "latent"))]
    assert sum(row.params for row in encoder) == features + (25088 + 1) * 4096 + 4097 * 4096


def test_mirrored_vgg_gives_the_size_back_stage_by_stage():
    ends = network("autoencoder_vgg16").trace().stages
    assert [tuple(ends[f"stage{i}"].shape) for i in (1, 5)] == [(64, 112, 112), (512, 7, 7)]
    assert tuple(ends["latent"].shape) == (4096,)
    assert [tuple(ends[f"up{i}"].shape) for i in (5, 4, 3, 2, 1)] == [
        (512, 14, 14), (256, 28, 28), (128, 56, 56), (64, 112, 112), (64, 224, 224)
    ]  # fmt: skip
    assert tuple(ends["head"].shape) == (3, 224, 224)


@pytest.mark.parametrize("latent", [2, 20, 32, 50])
@pytest.mark.parametrize("name", ["autoencoder_mnist", "vae_mnist"])
def test_the_small_ones_by_hand(name, latent):
    code = 256 * latent + latent
    parts = {
        "stage1": (9 * 16 + 2 * 16, 9 * 16 * 14**2),
        "stage2": (9 * 16 * 32 + 2 * 32, 9 * 16 * 32 * 7**2),
        "linear": (32 * 49 * 256 + 2 * 256, 32 * 49 * 256),
        "codes": (code, 256 * latent) if name == "autoencoder_mnist" else (2 * code, 2 * 256 * latent),
        "expand": (latent * 256 + 2 * 256 + 256 * 1568 + 2 * 1568, latent * 256 + 256 * 1568),
        "up1": (16 * 32 * 16 + 2 * 16, 16 * 32 * 16 * 7**2),
        "head": (16 * 16 + 1, 16 * 16 * 14**2),
    }
    numbers = cost(network(name, latent=latent))
    assert (numbers.params, numbers.macs) == tuple(map(sum, zip(*parts.values(), strict=True)))


def test_a_vae_keeps_mean_and_log_variance_and_draws(vae, digits, noise):
    output, found = vae(digits, at=("mean", "log_variance", "latent"), noise=noise)
    mean, log_variance = found["mean"], found["log_variance"]
    assert mean.shape == log_variance.shape == (6, 32)
    assert output.shape == digits.shape
    assert torch.equal(found["latent"], mean + torch.exp(0.5 * log_variance) * noise)
    assert network("vae_mnist").noise == 32
    assert torch.equal(vae(digits, noise=noise), output)


def test_a_draw_does_not_depend_on_the_batch(vae, digits, noise):
    _, all_of_them = vae(digits, at="latent", noise=noise)
    for some in ([3], [5, 0], [2, 4, 1]):
        _, few = vae(digits[some], at="latent", noise=noise[some])
        torch.testing.assert_close(few["latent"], all_of_them["latent"][some])


def test_noise_by_key_is_the_same_in_any_batch_and_another_for_each_draw():
    positions = torch.arange(2000)
    first, second = (keyed_noise(keys(0, 0, positions, draw), 32) for draw in (0, 1))
    assert first.dtype == torch.float32
    assert first.shape == (2000, 32)
    assert torch.equal(keyed_noise(keys(0, 0, positions[[7, 3]], 0), 32), first[[7, 3]])
    assert torch.equal(keyed_noise(keys(0, 0, positions, 0), 5), first[:, :5])
    for drawn in (first, second):
        assert abs(drawn.mean().item()) < 0.01
        assert abs(drawn.std().item() - 1) < 0.01
    assert abs(torch.corrcoef(torch.stack([first.flatten(), second.flatten()]))[0, 1].item()) < 0.01
    assert torch.corrcoef(first.T).fill_diagonal_(0).abs().max() < 0.1


def test_without_noise_training_draws_anew_and_evaluation_takes_one_draw_for_all(vae, digits):
    def latent():
        _, found = vae(digits, at=("mean", "log_variance", "latent"))
        return (found["latent"] - found["mean"]) / torch.exp(0.5 * found["log_variance"])

    fixed = latent()
    assert fixed.std() > 0.5  # a draw, not the mean
    torch.testing.assert_close(fixed, fixed[:1].expand_as(fixed))
    assert torch.equal(latent(), fixed)
    vae.train()
    torch.manual_seed(3)
    first, second = latent(), latent()
    torch.manual_seed(3)
    assert torch.equal(latent(), first)
    assert (first - second).abs().min() > 0
    assert (first[0] - first[1]).abs().max() > 0.1


@pytest.mark.parametrize(
    ("name", "shape", "text"),
    [
        ("vae_mnist", (6, 31), r"noise: expected \(6, at least 32\), a row for each example, received \(6, 31\)"),
        ("vae_mnist", (6, 33), r"noise: expected \(6, 32\), a row for each example, received \(6, 33\)"),
        ("vae_mnist", (5, 32), r"noise: expected \(6, at least 32\), a row for each example, received \(5, 32\)"),
        ("vae_mnist", (32,), r"noise: expected \(6, at least 32\), a row for each example, received \(32,\)"),
        ("autoencoder_mnist", (6, 32), r"noise: expected \(6, 0\), a row for each example, received \(6, 32\)"),
    ],
)
def test_noise_of_another_shape_is_refused(name, shape, text, digits):
    with pytest.raises(UsageError, match=f"^{text}$"):
        build(network(name), seed=0)(digits, noise=torch.zeros(shape))


def test_several_samples_share_the_noise_in_order(one_stage):
    tree = one_stage(seq(a=Sample(), wide=Linear(4, bias=False), b=Sample()), (6,))
    module, x = build(tree, seed=0).eval(), torch.zeros(2, 6)
    noise = torch.randn(2, 5, generator=torch.Generator().manual_seed(0))
    assert tree.noise == 5
    mean, log_variance = module.get_submodule("stage1.wide")(noise[:, :3]).chunk(2, 1)
    assert torch.equal(module(x, noise=noise), mean + torch.exp(0.5 * log_variance) * noise[:, 3:])


def test_another_size_than_built_needs_the_noise(one_stage):
    tree = one_stage(seq(conv=Conv(4, 1), sample=Sample()), (1, 3, 3))
    module = build(tree, seed=0).eval()
    assert module(torch.ones(2, 1, 5, 5), noise=torch.zeros(2, 50)).shape == (2, 2, 5, 5)
    with pytest.raises(UsageError, match="a sample was built for 2x3x3 values and receives 2x5x5: give it the noise"):
        module(torch.ones(2, 1, 5, 5))


def test_gradients_reach_both_halves(vae, digits, noise):
    vae(digits, noise=noise).square().mean().backward()
    for name in ("mean", "log_variance"):
        assert vae.get_submodule(f"moments.split.{name}.linear").weight.grad.abs().max() > 0


def test_recomputing_changes_no_draw(digits, noise):
    trees = [network("vae_mnist"), edit(network("vae_mnist"), "recompute(2)")]
    first, second = (build(tree, seed=0).train()(digits, noise=noise) for tree in trees)
    assert torch.equal(first, second)


@pytest.mark.parametrize("name", ["autoencoder_mnist", "vae_mnist"])
def test_the_decoder_runs_alone(name, digits):
    module = build(network(name), seed=0).eval()
    output, found = module(digits, at="latent")
    assert torch.equal(module(found["latent"], after="latent"), output)
    assert module(torch.zeros(500, 32), after="latent").shape == (500, 1, 28, 28)
    with pytest.raises(UnknownName, match=r"^unknown stage of \w+: 'laten'; nearest: latent"):
        module(found["latent"], after="laten")


def test_a_part_that_needs_an_earlier_one_is_said_when_it_runs_alone():
    tree = Network(
        name="skip",
        family="skip",
        input=Shape(1, (4, 4)),
        stages=(("one", seq(keep=Keep("skip"), conv=Conv(1, 1))), ("two", add(a=seq(), b=Use("skip")))),
        heads=((MAIN, seq(flatten=Flatten(), linear=Linear(2))),),
    )
    module = build(tree, seed=0)
    assert module(torch.ones(2, 1, 4, 4), after="two").shape == (2, 2)
    with pytest.raises(UsageError, match="the value 'skip' is kept by another part: run the whole network"):
        module(torch.ones(2, 1, 4, 4), after="one")


@pytest.mark.parametrize(
    ("size", "near"), [(30, "28 or 32"), (27, "24 or 28"), (3, "4"), (1, "4")],
)  # fmt: skip
def test_a_size_that_cannot_be_given_back_names_those_that_can(size, near):
    with pytest.raises(UsageError, match=f"^autoencoder: size is {size}, expected a multiple of 4, such as {near}$"):
        network("vae_mnist", size=size)


def test_sizes_come_by_the_number_and_not_by_the_edit():
    for name, size in (("vae_mnist", 32), ("autoencoder_mnist", 8), ("autoencoder_vgg16", 64)):
        tree = network(name, size=size)
        assert tree.trace().stages[MAIN].shape == tree.input
        assert tree.input.spatial == (size, size)
    with pytest.raises(
        UsageError,
        match=r"^size: vae_mnist gives maps of the size of its input, and would give 28x28 for 32x32; "
        r"make it for that size by its number: network\('vae_mnist', size=32\)$",
    ):
        edit(network("vae_mnist"), "size(32)")
    with pytest.raises(UsageError, match="would give 28x28 for 42x42"):
        edit(network("vae_mnist"), "scale(1.0, 1.0, 1.5)")
    assert edit(network("context_basic"), "size(32)").trace().stages[MAIN].shape.spatial == (32, 32)


def test_edits_that_an_autoencoder_takes():
    wide = edit(network("vae_mnist"), "widen(2)")
    assert wide.numbers["widths"] == (32, 64)
    assert tuple(wide.trace().stages[MAIN].shape) == (1, 28, 28)
    deep = edit(network("autoencoder_vgg16"), "deepen(2)")
    assert len([row for row in cost(deep).layers if row.op == "conv_transpose"]) == 26
    assert edit(network("autoencoder_mnist"), "act=silu").trace().stages[MAIN].shape.elements == 784
    kept = build(edit(network("vae_mnist"), "act=silu"), seed=0)
    assert set(kept(torch.zeros(2, 1, 28, 28), at=("mean", "log_variance"))[1]) == {"mean", "log_variance"}


def test_what_nobody_took_stays_kept_without_auxiliary_heads():
    tree = network("vae_mnist")
    with pytest.warns(match="changed nothing"):
        assert edit(tree, "main_head").stages == tree.stages


def test_transposed_convolutions_are_drawn_with_the_mean_number_of_their_inputs():
    tree = network("autoencoder_vgg16", widths=(64, 64), depths=(1, 1), hidden=8, latent=8, size=8)
    conv = build(tree, seed=0).get_submodule("up2.conv1")
    assert isinstance(conv, nn.ConvTranspose2d)
    assert conv.weight.std().item() == pytest.approx((2 / (9 * 64)) ** 0.5, rel=0.02)

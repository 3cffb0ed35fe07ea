"""LeNet-5 (LeCun et al. 1998) in the paper's form and in those of teaching texts."""

from convsmith.nets.family import Family, Row
from convsmith.nets.network import Network
from convsmith.nets.ops import Act, Affine, AvgPool, Conv, Flatten, Linear, Rbf, Take
from convsmith.nets.shape import Shape
from convsmith.nets.tree import MAIN, Seq, cat, seq

# Which S2 maps each C3 map sees: LeCun et al. 1998, table I (read by columns).
C3_CONNECTIONS: tuple[tuple[int, ...], ...] = (
    *(tuple(sorted((i + j) % 6 for j in range(3))) for i in range(6)),
    *(tuple(sorted((i + j) % 6 for j in range(4))) for i in range(6)),
    (0, 1, 3, 4),
    (1, 2, 4, 5),
    (0, 2, 3, 5),
    (0, 1, 2, 3, 4, 5),
)


def lenet5(
    *, act: str = "tanh", act_conv3: bool = True, classes: int = 10, channels: int = 1, size: int = 32
) -> Network:
    """LeNet-5 as teaching tables list it: full connections, plain average pooling, a linear output.

    The three lecture forms: `act_conv3` False is the PyTorch listing, which leaves out the activation after the third
    convolution. The table has no activation for the first linear layer; ours is the paper's tanh.
    """
    stages = (
        seq(conv=Conv(6, 5), act=Act(act), pool=AvgPool(2, 2)),
        seq(conv=Conv(16, 5), act=Act(act), pool=AvgPool(2, 2)),
        seq(conv=Conv(120, 5), act=Act(act) if act_conv3 else None),
    )
    head = seq(flatten=Flatten(), linear1=Linear(84), act1=Act(act), linear2=Linear(classes))
    return _lenet("lenet5", Shape(channels, (size, size)), stages, head)


def lenet5_d2l(*, classes: int = 10, channels: int = 1, size: int = 28) -> Network:
    """LeNet of "Dive into Deep Learning" (section 7.6): 28-pixel images, padded first convolution, sigmoid."""
    act = Act("sigmoid")
    stages = (
        seq(conv=Conv(6, 5, padding=2), act=act, pool=AvgPool(2, 2)),
        seq(conv=Conv(16, 5), act=act, pool=AvgPool(2, 2)),
    )
    hidden = {"linear1": Linear(120), "act1": act, "linear2": Linear(84), "act2": act}
    head = seq(flatten=Flatten(), **hidden, linear3=Linear(classes))
    return _lenet("lenet5_d2l", Shape(channels, (size, size)), stages, head, init="xavier")


def lenet5_1998(*, classes: int = 10, channels: int = 1, size: int = 32) -> Network:
    """LeNet-5 of LeCun et al. 1998, section II-B: 60,000 trainable parameters.

    Subsampling has a learnt coefficient and bias, the third layer sees only some of the maps (table I), activations are
    1.7159 tanh(2x/3), and the output is the distance to fixed codes. The paper drew its codes by hand; ours are random
    +1 and -1, the alternative that it names.
    """
    squash = Act("scaled_tanh")
    subsample = {"pool": AvgPool(2, 2), "affine": Affine(), "act2": squash}
    partial = cat(**{f"map{i}": seq(take=Take(maps), conv=Conv(1, 5)) for i, maps in enumerate(C3_CONNECTIONS, 1)})
    stages = (
        seq(conv=Conv(6, 5), act1=squash, **subsample),
        seq(conv=partial, act1=squash, **subsample),
        seq(conv=Conv(120, 5), act1=squash),
    )
    head = seq(flatten=Flatten(), linear=Linear(84), act=squash, rbf=Rbf(classes))
    return _lenet("lenet5_1998", Shape(channels, (size, size)), stages, head)


def _lenet(name: str, input: Shape, stages: tuple[Seq, ...], head: Seq, init: str = "lecun") -> Network:
    named = tuple((f"stage{i}", stage) for i, stage in enumerate(stages, 1))
    return Network(name=name, family=name, input=input, init=init, stages=named, heads=((MAIN, head),))


LENET5 = Family("lenet5", lenet5)
NETWORKS = {
    "lenet5": Row(LENET5, 1998, "the teaching table: tanh, average pooling, linear output"),
    "lenet5_code": Row(LENET5, 1998, "a PyTorch listing: no tanh after the last convolution", {"act_conv3": False}),
    "lenet5_d2l": Row(Family("lenet5_d2l", lenet5_d2l), 1998, "28-pixel images, padded first convolution, sigmoid"),
    "lenet5_1998": Row(
        Family("lenet5_1998", lenet5_1998), 1998, "the paper: partial connections, learnt subsampling, RBF output"
    ),
}

"""What a built network is given that it cannot take: an error of ours at its entrance."""

from typing import Any

import pytest
import torch

from convsmith.base.errors import UsageError, WrongType
from convsmith.nets.modules.build import build
from convsmith.nets.network import Network
from convsmith.nets.ops import Embedding, Linear, Recurrent
from convsmith.nets.shape import Input, Shape
from convsmith.nets.tree import MAIN, Use, seq
from convsmith.nets.zoo import network


def wrong_inputs() -> dict[str, Any]:
    x = torch.zeros(2, 1, 32, 32)
    return {
        "None": None, "a list": [1, 2], "a text": "x", "an array": x.numpy(), "a tuple": (x,), "bytes": x.byte(),
        "true or false": x.bool(), "complex": x.to(torch.complex64), "no axes": torch.tensor(1.0), "one image": x[0],
        "five axes": x[None], "channels": x.expand(2, 3, 32, 32), "no rows": x[:, :, :0],
    }  # fmt: skip


@pytest.mark.parametrize("kind", wrong_inputs())
def test_what_is_no_batch_of_images_is_refused_at_the_entrance(kind: str) -> None:
    model = build(network("lenet5"), seed=0)
    for call in (model, model.features, lambda x: model({"images": x})):
        with pytest.raises(UsageError, match=r"^lenet5: images(: expected float32 tensor| is)"):
            call(wrong_inputs()[kind])
    with pytest.raises(UsageError, match=r"^lenet5 after stage1: values(: expected float32 tensor| is)"):
        model(wrong_inputs()[kind], after="stage1")


def test_other_arguments_of_a_network_are_refused() -> None:
    model, x = build(network("vae_mnist"), seed=0), torch.zeros(2, 1, 28, 28)
    for noise in ("x", 3, x.numpy(), [0.0]):
        with pytest.raises(WrongType, match=r"^noise: expected a tensor \(N, 32\), received (str|int|ndarray|list)"):
            model(x, noise=noise)
    for at in (3, [None], [x]):
        with pytest.raises(WrongType, match=r"^at: expected names of stages, heads or kept values, received "):
            model(x, at=at)
    with pytest.raises(WrongType, match="expected the name of a stage of vae_mnist, received 3"):
        model(x, after=3)
    with pytest.raises(UsageError, match=r"^vae_mnist after latent: values is \(2, 32\), received \(2, 3\)"):
        model(x[:, 0, 0, :3], after="latent")


def test_whole_numbers_of_an_operator_are_no_true_or_false() -> None:
    with pytest.raises(WrongType, match="vocabulary is True, expected a whole number"):
        Embedding(True, 8).output(Shape(1, (5,)))
    with pytest.raises(WrongType, match="channels is True, expected a whole number"):
        Recurrent(True).output(Shape(3, (5,)))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.bool, torch.float32, torch.int16])
def test_tokens_are_whole_numbers_that_an_embedding_takes(dtype: torch.dtype) -> None:
    question = Input("question", Shape(1, (6,)), "int64")
    asked = ("asked", seq(use=Use("question"), embed=Embedding(9, 4), lstm=Recurrent(5, gives="last")))
    head = (MAIN, seq(linear=Linear(2)))
    tree = Network(name="vqa", family="vqa", input=Shape(3, (8, 8)), stages=(asked,), heads=(head,), inputs=(question,))
    model, x = build(tree, seed=0), torch.zeros(2, 3, 8, 8)
    assert model({"images": x, "question": torch.ones(2, 1, 6, dtype=torch.int64)}).shape == (2, 2)
    says = f"vqa: question is int64, received {str(dtype).removeprefix('torch.')}"
    with pytest.raises(UsageError, match=says):
        model({"images": x, "question": torch.ones(2, 1, 6, dtype=dtype)})
    for wrong in (None, [1, 2], x.numpy()):
        with pytest.raises(WrongType, match=r"vqa: question: expected int64 tensor \(N, 1, 6\), received"):
            model({"images": x, "question": wrong})
    with pytest.raises(UsageError, match=r"vqa: question is \(2, 1, 6\), received \(2, 1, 0\)"):
        model({"images": x, "question": torch.ones(2, 1, 0, dtype=torch.int64)})

"""Progressive resizing: the sizes by step, the pixels, and what a network that does not take them is told."""

import pytest
import torch
from torch.nn.functional import interpolate

from convsmith.base.durations import Duration
from convsmith.base.errors import UsageError
from convsmith.recipes.recipe import Recipe
from convsmith.training.job import new_state
from convsmith.training.options import Progressive
from convsmith.training.resizing import resized, size_at, sizes
from convsmith.training.schedule import Span
from convsmith.training.step import train_step
from convsmith.work.prepare import make_job, make_model, prepare

SPAN = Span(steps_per_epoch=10, total_steps=160)
# FFCV's 16 epochs: 160 pixels until the end of epoch 11, 192 from 13 on, of images that evaluation sees at 256.
FFCV = Progressive(160 / 256, 192 / 256, Duration(11, "ep"), Duration(13, "ep"), 32)


def sides(rule: Progressive, full: int, *steps: int, span: Span = SPAN) -> list[int]:
    found = [size_at(rule, (full, full), step, span) for step in steps]
    assert all(height == width for height, width in found)
    return [height for height, _ in found]


def test_sizes_by_step_are_those_of_ffcv():
    assert sides(FFCV, 256, 0, 109, 110, 119, 121, 129, 130, 159) == [160, 160, 160, 160, 192, 192, 192, 192]
    assert sizes(FFCV, (256, 256)) == ((160, 160), (192, 192))


def test_the_last_part_has_the_full_size():
    span = Span(10, 100)
    rule = Progressive()  # from 0.7 at 0% to all of it at 60%
    assert sides(rule, 224, 0, 17, 18, 45, 46, 59, span=span) == [160, 160, 192, 192, 224, 224]
    assert sides(rule, 224, *range(60, 100), span=span) == [224] * 40
    # A whole side that is not a multiple is taken as it is.
    assert sides(rule, 225, 59, 60, 99, span=span) == [224, 225, 225]


def test_sides_of_a_long_image_shrink_alike():
    rule = Progressive(first=0.5, multiple=8)
    assert [size_at(rule, (64, 128), step, Span(10, 100)) for step in (0, 30, 60)] == [(32, 64), (48, 96), (64, 128)]
    assert (sizes(rule, (64, 128))[0], sizes(rule, (64, 128))[-1]) == ((32, 64), (64, 128))


def test_every_size_of_the_steps_is_listed_and_no_other():
    for rule, full in ((Progressive(0.3, 0.9, multiple=8), (61, 100)), (Progressive(0.01, multiple=5), (33, 20)), (FFCV,
                       (256, 256))):  # fmt: skip
        span = Span(10, 400)
        seen = {size_at(rule, full, step, span) for step in range(400)}
        assert seen == set(sizes(rule, full))


def test_one_size_for_the_whole_run():
    whole = Duration(100, "%")
    rule = Progressive(0.7143, 0.7143, whole, whole)
    assert sides(rule, 224, 0, 80, 159) == [160, 160, 160]
    assert sizes(rule, (224, 224)) == ((160, 160),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("progressive(0)", "progressive.first: expected a number above 0, at most 1, received 0.0"),
        ("progressive(0.9, 0.5)", "progressive: expected first to be at most last, received first 0.9 and last 0.5"),
        ("progressive(nan)", "^resize.first: expected a finite number, received nan$"),
        ("progressive(0.5, multiple=0)", "progressive.multiple: expected a whole number from 1, received 0"),
        ("progressive(0.5, start='70%')", "progressive: expected a start before the end, received 70% and 60%"),
        ("progresive(0.5)", "unknown resize 'progresive'; nearest: progressive"),
    ],
)
def test_impossible_rules(text, message):
    with pytest.raises(UsageError, match=message):
        Recipe().edit(resize=text)


def small(resize: str, network: str = "resnet20_cifar", size: int = 32, **fields: object) -> Recipe:
    return Recipe(network=network).edit(
        data__source="digits", data__size=size, batch=8, length="6steps", resize=resize, engine__precision="fp32",
        engine__threads=1, **fields,
    )  # fmt: skip


def test_a_step_sees_antialiased_images_of_the_size_of_the_step():
    plan = prepare(small("progressive(0.5, 1.0, '1steps', '4steps', 8)"))
    assert plan.notes[-1] == "training images grow from 16x16 to 32x32, 1steps to 4steps"
    job = make_job(plan)
    inputs = torch.rand(3, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    expected = interpolate(inputs, size=(24, 24), mode="bilinear", antialias=True)
    assert torch.equal(resized(inputs, job, 2), expected)
    assert resized(inputs, job, 4) is inputs
    state = new_state(plan.engine.place(make_model(plan, [])), plan.recipe.optimizer, plan.engine)
    seen = []
    state.model.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].shape[2:]))
    for _, batch in zip(range(5), job.training.epoch(0), strict=False):
        train_step(state, batch, job)
    assert [tuple(size) for size in seen] == [(16, 16), (16, 16), (24, 24), (24, 24), (32, 32)]


def test_a_network_for_one_size_says_so():
    with pytest.raises(UsageError) as caught:
        prepare(small("progressive(0.5, multiple=4)", network="lenet5"))
    assert str(caught.value).startswith("resize: lenet5 does not take 28x28 (stage3.conv: a convolution spans")
    assert str(caught.value).endswith("; leave resizing out (--resize none)")
    with pytest.raises(UsageError, match=r"head\.linear1 has weights for one size alone"):
        prepare(small("progressive(0.5, multiple=4)", network="mlp_cifar"))


def test_a_network_with_a_least_size_says_which():
    with pytest.raises(UsageError) as caught:
        prepare(small("progressive(0.2, multiple=4)", network="vgg11_bn_cifar", size=64))
    assert str(caught.value).startswith("resize: vgg11_bn_cifar does not take ")
    assert "; the smallest that it takes is " in str(caught.value)


def test_a_rule_that_changes_nothing_is_refused():
    with pytest.raises(
        UsageError, match=r"resize: images of 32x32 have no smaller size from 0.7 of it on that is a mu"
    ):
        prepare(small("progressive(0.7)"))


def test_a_users_module_is_tried(modules, given):
    plan = prepare(small("progressive(0.5, multiple=8)", network=given(f"{modules}:make")))
    assert plan.notes[-1] == "training images grow from 16x16 to 32x32, 0% to 60%"
    modules.write_text(modules.read_text().replace("nn.Conv2d(channels, 6, 3, 2)", "nn.Conv2d(channels, 6, 11, 2)"))
    with pytest.raises(UsageError, match=r"resize: .* does not take 8x8 \(RuntimeError: .*; the smallest .* 16x16"):
        prepare(small("progressive(0.25, multiple=8)", network=given(f"{modules}:make")))

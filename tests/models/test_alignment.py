"""Alignment maps, against moments counted one number at a time and languages whose difference is known."""

import math

import pytest
import torch
from pydantic import ValidationError

from xlprompt.models import (
    AlignmentSettings,
    ModelError,
    PromptSettings,
    alignment_map,
    build_task_model,
    changed_layer,
    load_backbone,
    load_tokenizer,
    moment_distance,
    moments_of,
    target_of,
)
from xlprompt.models.settings import HeadSettings

HIDDEN = 6


@pytest.fixture
def english():
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(HIDDEN, HIDDEN, generator=generator)
    return torch.randn(400, HIDDEN, generator=generator) @ mixing + 3


@pytest.fixture
def target(english):
    return target_of(english)


def test_moments_are_those_counted_one_number_at_a_time(english, target):
    found = moments_of(english[:50], target)
    for dim in range(HIDDEN):
        numbers = [float(state[dim]) for state in english[:50]]
        mean = sum(numbers) / 50
        deviation = math.sqrt(sum((number - mean) ** 2 for number in numbers) / 50)
        assert float(found.mean[dim]) == pytest.approx(mean, abs=1e-5)
        assert float(found.deviation[dim]) == pytest.approx(deviation, rel=1e-5)
    assert found.count == 50


def test_the_targets_directions_are_orthonormal(target):
    product = target.directions.T @ target.directions
    torch.testing.assert_close(product, torch.eye(HIDDEN), atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["mean", "mean_scale", "principal"])
def test_a_language_that_is_only_shifted_is_restored(kind, english, target):
    shifted = english + torch.linspace(-5, 5, HIDDEN)
    restored = alignment_map(kind, moments_of(shifted, target), target)(shifted)
    if kind == "principal":  # the deviations along directions are those of the target's second half
        assert float((restored - english).abs().max()) < float((shifted - english).abs().max()) / 4
        torch.testing.assert_close(restored.mean(dim=0), english.mean(dim=0), atol=1e-4, rtol=0)
    else:
        torch.testing.assert_close(restored, english, atol=1e-4, rtol=1e-4)


def test_a_language_that_is_shifted_and_scaled_is_restored_by_mean_and_scale_alone(english, target):
    other = english * torch.linspace(0.2, 4, HIDDEN) - 7
    own = moments_of(other, target)
    torch.testing.assert_close(alignment_map("mean_scale", own, target)(other), english, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(alignment_map("mean", own, target)(other), english, atol=0.1)


def test_a_language_that_is_scaled_along_the_targets_directions_is_restored_by_principal():
    generator = torch.Generator().manual_seed(1)
    half = torch.randn(200, HIDDEN, generator=generator) @ torch.randn(HIDDEN, HIDDEN, generator=generator)
    english = torch.cat((half, half))  # so that the target's two halves agree
    target = target_of(english)
    scales = torch.linspace(0.3, 3, HIDDEN)
    standardized = (english - target.moments.mean) / target.moments.deviation
    scaled = standardized @ target.directions * scales @ target.directions.T
    other = scaled * target.moments.deviation + 11
    restored = alignment_map("principal", moments_of(other, target), target)(other)
    torch.testing.assert_close(restored, english, atol=1e-3, rtol=1e-3)


def test_a_subspace_needs_no_text_of_the_language_and_touches_nothing_else(english, target):
    away = torch.zeros(HIDDEN)
    away[0] = 9.0
    means = [target.moments.mean + away]
    align = alignment_map("subspace", None, target, means)
    moved = align(english + away * 0.7)
    torch.testing.assert_close(moved[:, 0], target.moments.mean[0].expand(len(english)), atol=1e-4, rtol=0)
    torch.testing.assert_close(moved[:, 1:], english[:, 1:], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", ["none", "mean", "mean_scale", "principal", "subspace"])
def test_without_text_nothing_moves(kind, target):
    assert alignment_map(kind, None, target) is None


def test_a_kind_that_there_is_not_is_refused(english, target):
    with pytest.raises(ModelError, match="no alignment 'median'; there are none, mean"):
        alignment_map("median", moments_of(english, target), target)


def test_a_dimension_that_never_varies_stays_finite(english, target):
    english[:, 2] = 1.0
    for kind in ("mean_scale", "principal"):
        align = alignment_map(kind, moments_of(english[:9], target), target)
        assert torch.isfinite(align(english)).all()


def test_a_map_keeps_the_precision_of_what_it_is_given(english, target):
    align = alignment_map("mean_scale", moments_of(english, target), target)
    assert align(english.bfloat16()).dtype == torch.bfloat16


def test_one_state_is_too_few(english, target):
    with pytest.raises(ModelError, match="more unlabelled sentences"):
        moments_of(english[:1], target)


def test_none_is_always_scored_and_first():
    assert AlignmentSettings(kinds=("mean_scale", "mean")).kinds == ("none", "mean", "mean_scale")


def test_an_unknown_kind_names_those_there_are():
    with pytest.raises(ValidationError, match="'none', 'mean', 'mean_scale', 'principal' or 'subspace'"):
        AlignmentSettings(kinds=("mena",))


@pytest.mark.parametrize("scheme", ["layers", "input", "hidden"])
def test_a_layers_output_can_be_changed_and_is_left_alone_otherwise(tiny_gemma, scheme):
    model = build_task_model(
        load_backbone(str(tiny_gemma), dtype="float32"),
        load_tokenizer(str(tiny_gemma)),
        num_labels=3,
        method=PromptSettings(length=4, scheme=scheme),
        head=HeadSettings(),
        seed=0,
    ).eval()
    ids, rows, columns = torch.arange(4, 14).reshape(2, 5), torch.tensor([0, 1]), torch.tensor([4, 4])
    with torch.no_grad():
        plain = model(ids, rows, columns)
        with changed_layer(model.backbone, 2, lambda states: states):
            torch.testing.assert_close(model(ids, rows, columns), plain)
        with changed_layer(model.backbone, 2, lambda states: states + 1):
            assert not torch.allclose(model(ids, rows, columns), plain)
        torch.testing.assert_close(model(ids, rows, columns), plain)
        with pytest.raises(ModelError, match="layers 1 to 3"), changed_layer(model.backbone, 4, torch.abs):
            pass


@pytest.mark.parametrize("scale", [False, True])
def test_the_distance_of_moments_is_that_counted_one_number_at_a_time(scale, english):
    states = english[:40] * 1.5 + torch.linspace(-1, 2, HIDDEN)
    given = english[40:100]
    total = 0.0
    for dim in range(HIDDEN):
        ours, theirs = ([float(row[dim]) for row in each] for each in (states, given))
        means = [sum(each) / len(each) for each in (ours, theirs)]
        squares = [
            sum((number - mean) ** 2 for number in each) / len(each)
            for each, mean in zip((ours, theirs), means, strict=True)
        ]
        total += (means[0] - means[1]) ** 2 / squares[1]
        total += math.log(math.sqrt(squares[0] / squares[1])) ** 2 if scale else 0.0
    assert float(moment_distance(states, given, scale=scale)) == pytest.approx(total / HIDDEN, rel=1e-4)
    assert float(moment_distance(given, given.clone(), scale=scale)) == pytest.approx(0, abs=1e-6)


def test_a_dimension_that_does_not_vary_has_a_finite_distance_and_gradient(english):
    states = english[:20].clone()
    states[:, 0] = 3.0
    states.requires_grad_()
    moment_distance(states, english[20:40], scale=True).backward()
    assert torch.isfinite(states.grad).all()
    flat = english[:20].clone()
    flat[:, 1] = 0.0
    assert torch.isfinite(moment_distance(english[20:40], flat, scale=True))

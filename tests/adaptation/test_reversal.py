import math

import pytest
import torch

from sktransfer.adaptation.alignments.reversal import reversal_strength, reverse_gradient


def test_reversal_is_the_identity_forwards():
    x = torch.randn(4, 3)
    assert torch.equal(reverse_gradient(x, 0.7), x)


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0, 2.0])
def test_lambda_scales_what_reaches_the_features_and_nothing_else(strength):
    torch.manual_seed(0)
    below, head = torch.nn.Linear(5, 3), torch.nn.Linear(3, 1)
    x = torch.randn(8, 5)
    plain = torch.autograd.grad(
        head(below(x)).square().sum(), [below.weight, head.weight], retain_graph=True
    )
    turned = torch.autograd.grad(
        head(reverse_gradient(below(x), strength)).square().sum(), [below.weight, head.weight]
    )
    torch.testing.assert_close(turned[0], -strength * plain[0])
    torch.testing.assert_close(turned[1], plain[1])


def test_lambda_may_differ_in_each_step():
    x = torch.ones(1, requires_grad=True)
    gradients = []
    for strength in (0.1, 0.9):
        (gradient,) = torch.autograd.grad(reverse_gradient(x, strength).sum(), x)
        gradients.append(gradient.item())
    assert gradients == pytest.approx([-0.1, -0.9])


@pytest.mark.parametrize("progress", [0.0, 0.1, 0.37, 1.0])
@pytest.mark.parametrize("gamma", [1.0, 10.0])
def test_the_schedule_is_the_formula_of_the_paper(progress, gamma):
    expected = 0.3 * (2 / (1 + math.exp(-gamma * progress)) - 1)
    assert reversal_strength(progress, 0.3, gamma) == pytest.approx(expected)


def test_the_schedule_can_be_switched_off():
    assert reversal_strength(0.0, 1.0, math.inf) == 0.0
    assert reversal_strength(1e-9, 1.0, math.inf) == 1.0
    assert reversal_strength(0.5, 0.0) == 0.0

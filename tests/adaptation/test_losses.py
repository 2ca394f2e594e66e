import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from sktransfer.adaptation.alignments.coral import coral_loss
from sktransfer.adaptation.alignments.domain_classification import (
    conditional_map,
    conditional_width,
    domain_accuracy,
    domain_loss,
)
from sktransfer.adaptation.alignments.mmd import mmd_loss
from sktransfer.adaptation.logits import entropy_loss


def test_the_domain_loss_adds_the_means_of_both_halves():
    torch.manual_seed(0)
    logits, domains = torch.randn(5, 1), torch.tensor([0, 0, 1, 1, 1])
    half = F.binary_cross_entropy_with_logits
    expected = half(logits[:2, 0], torch.zeros(2)) + half(logits[2:, 0], torch.ones(3))
    torch.testing.assert_close(domain_loss(logits, domains, 2), expected)


def test_several_domains_take_one_logit_each_and_two_of_them_mean_the_same_as_one():
    torch.manual_seed(0)
    logit, domains = torch.randn(6, 1), torch.tensor([0, 0, 0, 1, 1, 1])
    two = torch.cat([torch.zeros(6, 1), logit], 1)
    torch.testing.assert_close(domain_loss(two, domains, 3), domain_loss(logit, domains, 3))
    assert domain_accuracy(two, domains) == domain_accuracy(logit, domains)


def test_a_head_that_guesses_has_a_loss_of_twice_log_two_and_an_accuracy_of_a_half():
    logits, domains = torch.zeros(4, 1), torch.tensor([0, 0, 1, 1])
    assert domain_loss(logits, domains, 2).item() == pytest.approx(2 * math.log(2))
    assert domain_accuracy(logits, domains).item() == 0.5


def test_the_domain_loss_of_one_logit_has_a_gradient():
    # A softmax over one unit would have none.
    logits = torch.zeros(4, 1, requires_grad=True)
    domain_loss(logits, torch.tensor([0, 0, 1, 1]), 2).backward()
    assert logits.grad.abs().min() > 0.1


def test_coral_compares_covariances_as_numpy_has_them():
    rng = np.random.default_rng(0)
    source, target = rng.normal(size=(20, 4)), rng.normal(size=(30, 4)) * [1, 2, 3, 4]
    difference = np.cov(source.T) - np.cov(target.T)
    expected = (difference**2).sum() / (4 * 4**2)
    loss = coral_loss(torch.from_numpy(source), torch.from_numpy(target))
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_coral_does_not_see_a_shift_and_mmd_does():
    x = torch.randn(100, 3)
    assert coral_loss(x, x + 3).item() == pytest.approx(0, abs=1e-8)
    assert mmd_loss(x, x + 3) > 0.3


def test_mmd_is_about_zero_where_the_domains_are_one():
    torch.manual_seed(0)
    values = [mmd_loss(*torch.randn(2, 40, 3)).item() for _ in range(50)]
    assert abs(np.mean(values)) < 0.01
    assert min(values) < 0  # the estimate is unbiased, so it goes below, too


@pytest.mark.parametrize("loss", [coral_loss, mmd_loss])
def test_a_step_against_the_gradient_brings_the_domains_together(loss):
    torch.manual_seed(0)
    source, target = torch.randn(40, 3), 3 * torch.randn(30, 3) + 1
    target.requires_grad_()
    before = loss(source, target)
    (gradient,) = torch.autograd.grad(before, target)
    assert loss(source, target - 0.1 * gradient) < before


def test_rows_that_are_equal_give_mmd_no_gradient_of_nan():
    x = torch.ones(6, 2, requires_grad=True)
    mmd_loss(x[:3], x[3:]).backward()
    assert torch.isfinite(x.grad).all()


def test_the_conditional_map_is_the_outer_product_and_predictions_get_no_gradient():
    features = torch.randn(3, 4, requires_grad=True)
    probabilities = torch.rand(3, 2, requires_grad=True)
    joined = conditional_map(features, probabilities)
    assert joined.shape == (3, conditional_width(4, 2)) == (3, 8)
    torch.testing.assert_close(
        joined.view(3, 4, 2).sum(2), features * probabilities.sum(1)[:, None]
    )
    joined.sum().backward()
    assert features.grad is not None
    assert probabilities.grad is None


def test_the_randomised_map_keeps_inner_products_on_average():
    torch.manual_seed(0)
    a, b = torch.randn(2, 1, 50)
    p, q = torch.rand(2, 1, 20)
    expected = (a @ b.T) * (p @ q.T)
    estimate = conditional_map(a, p, 900) @ conditional_map(b, q, 900).T
    scale = a.norm() * b.norm() * p.norm() * q.norm()
    assert abs(estimate - expected) < 0.2 * scale
    assert conditional_map(a, p, 900).shape == (1, conditional_width(50, 20, 900)) == (1, 900)


def test_the_entropy_is_that_of_the_predicted_probabilities():
    probabilities = torch.tensor([[0.25] * 4, [0.7, 0.1, 0.1, 0.1]])
    expected = -(probabilities * probabilities.log()).sum(1).mean()
    assert entropy_loss(probabilities.log() + 3).item() == pytest.approx(expected.item())
    one_logit = torch.tensor([[1.5], [-0.3]])
    two = torch.cat([torch.zeros(2, 1), one_logit], 1)
    assert entropy_loss(one_logit).item() == pytest.approx(entropy_loss(two).item())
    assert entropy_loss(torch.full((1, 1), 300.0)).item() == 0


def test_a_step_against_the_gradient_makes_predictions_certain():
    scores = torch.randn(20, 5, requires_grad=True)
    before = entropy_loss(scores)
    before.backward()
    assert entropy_loss(scores.detach() - 5 * scores.grad) < before

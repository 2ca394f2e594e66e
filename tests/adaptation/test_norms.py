import pytest
import torch
from torch import nn

from sktransfer.adaptation.norms import (
    join_batchnorms,
    set_statistics,
    split_batchnorms,
    statistics_kept,
)


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.BatchNorm1d(16)
    )


@pytest.fixture
def halves():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(6, 3, 4, 4, generator=generator), 5 + 2 * torch.randn(
        4, 3, 4, 4, generator=generator
    )


def test_joint_leaves_the_network_as_it_is():
    net = network()
    before = [type(part) for part in net.modules()]
    split_batchnorms(net, "joint")
    assert [type(part) for part in net.modules()] == before


@pytest.mark.parametrize("mode", ["separate", "per_domain"])
def test_each_half_is_normalised_as_if_it_were_alone(mode, halves):
    net, alone = network(), network()
    split_batchnorms(net, mode).n_source = 6
    both = net.train()(torch.cat(halves))
    torch.testing.assert_close(both[:6], alone.train()(halves[0]))
    torch.testing.assert_close(both[6:], alone(halves[1]))


def test_separate_keeps_the_statistics_of_two_passes_one_after_the_other(halves):
    net, plain = network(), network()
    split_batchnorms(net, "separate").n_source = 6
    net.train()(torch.cat(halves))
    for half in halves:
        plain.train()(half)
    assert join_batchnorms(net) == {}
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(net.state_dict()[name], value)


def test_per_domain_predicts_with_the_statistics_of_the_domain_that_is_named(halves):
    net, source, target = network(), network(), network()
    switch = split_batchnorms(net, "per_domain")
    switch.n_source = 6
    net.train()(torch.cat(halves))
    source.train()(halves[0])
    target.train()(halves[1])
    switch.n_source = None
    torch.testing.assert_close(net.eval()(halves[1]), target.eval()(halves[1]))
    switch.domain = "source"
    torch.testing.assert_close(net(halves[1]), source.eval()(halves[1]))


def test_the_joined_network_is_plain_and_predicts_for_either_domain(halves):
    net, source, target = network(), network(), network()
    names = set(net.state_dict())
    split_batchnorms(net, "per_domain").n_source = 6
    net.train()(torch.cat(halves))
    source.train()(halves[0])
    target.train()(halves[1])
    statistics = join_batchnorms(net)
    assert set(net.state_dict()) == names
    torch.testing.assert_close(net.eval()(halves[1]), target.eval()(halves[1]))
    set_statistics(net, statistics)
    torch.testing.assert_close(net(halves[1]), source.eval()(halves[1]))


def test_a_norm_of_a_derived_class_keeps_what_it_does_besides():
    class WithReLU(nn.BatchNorm1d):
        def forward(self, x):
            return super().forward(x).relu()

    net = nn.Sequential(nn.Identity(), WithReLU(3))
    split_batchnorms(net, "per_domain").n_source = 4
    assert net.train()(torch.randn(8, 3)).min() == 0


def test_weight_and_bias_stay_the_same_objects_and_get_the_gradient_of_both_domains(halves):
    net = network()
    weight = net[1].weight
    split_batchnorms(net, "separate").n_source = 6
    net.train()(torch.cat(halves)).square().sum().backward()
    assert net[1].norm.weight is weight
    assert weight.grad.abs().min() > 0


def test_kept_statistics_normalise_by_the_batch_and_leave_no_trace(halves):
    net = network().train()
    before = {name: value.clone() for name, value in net.named_buffers()}
    with statistics_kept(net):
        inside = net(halves[0])
    torch.testing.assert_close(inside, network().train()(halves[0]))
    assert all(torch.equal(value, before[name]) for name, value in net.named_buffers())

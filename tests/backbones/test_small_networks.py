import pytest
import torch
from torch import nn

from sktransfer import list_backbones
from sktransfer.backbones import get_backbone, load_backbone, small_networks
from sktransfer.exceptions import WeightsError

# Cells of the last map by figure 4 of Ganin et al., where the fully connected layers begin.
FLAT = {
    "dann_mnist": 48 * 4 * 4,
    "dann_svhn": 128 * 7 * 7,
    "dann_signs": 256 * 2 * 2,
    "digits28": 48 * 4 * 4,
    "digits32": 48 * 5 * 5,
}


@pytest.mark.parametrize("name", small_networks.NAMES)
def test_the_last_map_has_the_cells_of_the_paper(name):
    loaded = load_backbone(name, "random", random_state=0)
    size = loaded.preprocessing.crop
    assert loaded.module(torch.zeros(2, 3, size, size)).flatten(1).shape == (2, FLAT[name])
    assert name in list_backbones()


def test_the_network_of_the_paper_has_no_batchnorm_and_the_modern_one_has():
    for name, expected in (("dann_mnist", 0), ("digits28", 2)):
        module = get_backbone(name).build()
        assert sum(isinstance(part, nn.BatchNorm2d) for part in module.modules()) == expected


def test_pooling_before_relu_gives_what_the_paper_draws():
    torch.manual_seed(0)
    module = get_backbone("dann_mnist").build()
    (conv1, pool1, relu1), (conv2, pool2, relu2) = module.block1, module.block2
    x = torch.randn(3, 3, 28, 28)
    drawn = pool2(relu2(conv2(pool1(relu1(conv1(x))))))
    torch.testing.assert_close(module(x), drawn)


def test_there_are_no_weights_to_download():
    with pytest.raises(WeightsError, match=r"weights='default' of dann_mnist: none are published"):
        load_backbone("dann_mnist")

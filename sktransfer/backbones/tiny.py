"""`tiny`: the compact ResNet that ships with the package, pre-trained on images made by formulas."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import torch.nn.functional as F
from torch import Tensor, nn

IMAGE_SIZE: Final = 64
"""Side of the images the network was trained for, in pixels; 32 to 224 work."""

MEAN: Final = (0.5, 0.5, 0.5)
"""Mean subtracted from each channel of an image in 0..1."""

STD: Final = (0.25, 0.25, 0.25)
"""What each centred channel is divided by."""

WEIGHTS_FILE: Final = Path(__file__).with_name("tiny.safetensors")
"""The bundled weights, float16, without the classification layer; `benchmarks/pretrain_tiny.py` makes them."""

WIDTHS: Final = (32, 64, 128, 256)
BLOCKS: Final = (2, 2, 2, 2)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut, as in ResNet-18 [1]_.

    Parameters
    ----------
    n_in, n_out : int
        Channels of the input and of the output.
    stride : int
        Step of the first convolution, in cells of the input's grid.

    References
    ----------
    .. [1] He, Zhang, Ren, Sun, "Deep residual learning for image recognition", CVPR 2016.
    """

    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, n_out, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(n_out)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(n_out)
        self.shortcut = nn.Sequential()
        if stride != 1 or n_in != n_out:
            projection = nn.Conv2d(n_in, n_out, 1, stride, bias=False)
            self.shortcut = nn.Sequential(projection, nn.BatchNorm2d(n_out))

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, n_in, height, width) to (batch, n_out, height / stride, width / stride)."""
        residual = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(residual + self.shortcut(x))


class Tiny(nn.Module):
    """A compact ResNet for small images: a stem, four stages of basic blocks, one linear layer.

    Parameters
    ----------
    num_classes : int, default=1000
        Outputs of the last layer.

    Examples
    --------
    >>> import torch
    >>> net = Tiny(num_classes=10).eval()
    >>> net(torch.zeros(2, 3, 64, 64)).shape
    torch.Size([2, 10])
    >>> [name for name, _ in net.named_children()]
    ['stem', 'layer1', 'layer2', 'layer3', 'layer4', 'avgpool', 'fc']
    """

    def __init__(self, num_classes: int = 1000) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, WIDTHS[0], 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(WIDTHS[0]),
            nn.ReLU(),
        )
        self.layer1 = _stage(WIDTHS[0], WIDTHS[0], BLOCKS[0], stride=1)
        self.layer2 = _stage(WIDTHS[0], WIDTHS[1], BLOCKS[1], stride=2)
        self.layer3 = _stage(WIDTHS[1], WIDTHS[2], BLOCKS[2], stride=2)
        self.layer4 = _stage(WIDTHS[2], WIDTHS[3], BLOCKS[3], stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(WIDTHS[3], num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Map normalised images (batch, 3, height, width) to scores (batch, num_classes)."""
        x = self.layer4(self.layer3(self.layer2(self.layer1(self.stem(x)))))
        scores: Tensor = self.fc(self.avgpool(x).flatten(1))
        return scores


def tiny(num_classes: int = 1000) -> Tiny:
    """Build the network with random weights; `WEIGHTS_FILE` holds the pre-trained ones."""
    return Tiny(num_classes)


def _stage(n_in: int, n_out: int, n_blocks: int, stride: int) -> nn.Sequential:
    """Chain `n_blocks` blocks, of which the first changes the width and the grid."""
    first = BasicBlock(n_in, n_out, stride)
    return nn.Sequential(first, *(BasicBlock(n_out, n_out, 1) for _ in range(n_blocks - 1)))

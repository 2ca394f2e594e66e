"""Resize, crop and normalise an image the way the weights of a network want it.

Equal to torchvision's ``weights.transforms()`` on PIL images, but it computes only the pixels that
the crop keeps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast, get_args

import numpy as np
import torch
from PIL import Image

from sktransfer.parameters import check_choice

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

__all__ = ["Fit", "Interpolation", "Preprocessing"]

Interpolation: TypeAlias = Literal["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"]
Fit: TypeAlias = Literal["shorter", "squash"]

_TIMM_CROP_PCT = 0.875  # what timm takes where a network states none
_TIMM_FITS: dict[str, Fit] = {"center": "shorter", "squash": "squash"}


@dataclass(frozen=True)
class Preprocessing:
    """What happens to an image before a network sees it.

    An image that already has the network's size, `crop` x `crop`, is neither resized nor cropped.
    Every other one is resized, with antialiasing, and its centre is cut out.

    Parameters
    ----------
    crop : int
        Side of the network's input in pixels.
    resize : int
        Side in pixels that the image's shorter side gets before the crop; at least `crop`.
    mean, std : tuple of three floats
        Mean and standard deviation of each channel, R, G, B, of pixels in 0..1.
    interpolation : {"nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"}, \
default="bilinear"
        Pillow's filter. "nearest" and "box" have steps, so a pixel that lies on one may differ from
        torchvision's.
    fit : {"shorter", "squash"}, default="shorter"
        "squash" resizes both sides to `resize`, whatever the proportions, as some networks of timm
        were trained.

    Raises
    ------
    ValueError
        If a value is not possible.

    Examples
    --------
    >>> imagenet = Preprocessing(224, 256, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    >>> pixels = imagenet(Image.new("RGB", (640, 480)))
    >>> pixels.shape
    (224, 224, 3)
    >>> imagenet.normalize(torch.from_numpy(pixels)[None]).shape
    torch.Size([1, 3, 224, 224])
    """

    crop: int
    resize: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: Interpolation = "bilinear"
    fit: Fit = "shorter"

    def __post_init__(self) -> None:
        if self.crop < 1:
            raise ValueError(f"crop={self.crop!r} must be at least 1 pixel.")
        if self.resize < self.crop:
            raise ValueError(f"resize={self.resize!r} must be at least crop={self.crop!r}.")
        if len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            raise ValueError(
                f"mean={self.mean!r} and std={self.std!r} must have three values each, for R, G "
                "and B, and those of std must be positive."
            )
        check_choice("interpolation", self.interpolation, get_args(Interpolation))
        check_choice("fit", self.fit, get_args(Fit))

    @classmethod
    def from_torchvision(cls, transforms: Any) -> Preprocessing:
        """Read a preset of torchvision, as ``weights.transforms()`` returns it.

        Parameters
        ----------
        transforms : torchvision.transforms._presets.ImageClassification
            Only its attributes are read.
        """
        return cls(
            crop=_side(transforms.crop_size),
            resize=_side(transforms.resize_size),
            mean=_floats(transforms.mean),
            std=_floats(transforms.std),
            interpolation=_interpolation(transforms.interpolation.value),
        )

    @classmethod
    def from_timm(cls, data_config: Mapping[str, Any]) -> Preprocessing:
        """Read a data configuration of timm, as ``timm.data.resolve_data_config`` returns it.

        Parameters
        ----------
        data_config : mapping
            With the entries input_size, mean, std, interpolation, crop_pct and crop_mode, the last
            two of which have timm's defaults.

        Raises
        ------
        ValueError
            If the network takes images that are not square, or fits them in a border.
        """
        _, height, width = data_config["input_size"]
        if height != width:
            raise ValueError(
                f"input_size={data_config['input_size']!r} is not square. Only networks for square "
                "images are possible. Choose one of these."
            )
        crop_mode = data_config.get("crop_mode") or "center"
        check_choice("crop_mode", crop_mode, tuple(_TIMM_FITS))
        return cls(
            crop=int(height),
            resize=math.floor(height / (data_config.get("crop_pct") or _TIMM_CROP_PCT)),
            mean=_floats(data_config["mean"]),
            std=_floats(data_config["std"]),
            interpolation=_interpolation(data_config["interpolation"]),
            fit=_TIMM_FITS[crop_mode],
        )

    @property
    def min_size(self) -> int:
        """The smallest shorter side, in pixels, that loses nothing when it is decoded."""
        return self.resize

    @property
    def key(self) -> str:
        """All values as one line of text, the same in every process, for the key of a store."""
        mean, std = (",".join(repr(float(x)) for x in xs) for xs in (self.mean, self.std))
        return (
            f"crop={self.crop} resize={self.resize} mean={mean} std={std} "
            f"interpolation={self.interpolation} fit={self.fit}"
        )

    def with_size(self, size: int) -> Preprocessing:
        """Return the same for an input of `size` pixels, the crop as large a part as before."""
        if size < 1:
            raise ValueError(f"image_size={size!r} must be at least 1 pixel.")
        return replace(self, crop=size, resize=max(size, round(size * self.resize / self.crop)))

    def __call__(self, image: Image.Image) -> NDArray[np.uint8]:
        """Resize and crop one image.

        Parameters
        ----------
        image : PIL.Image.Image
            Image of mode RGB and any size.

        Returns
        -------
        ndarray of shape (crop, crop, 3), dtype uint8
            A new, writable array.
        """
        size = (self.crop, self.crop)
        if image.size != size:
            resample = Image.Resampling[self.interpolation.upper()]
            image = image.resize(size, resample, box=self._box(*image.size))
        return np.array(image)

    def normalize(self, batch: torch.Tensor) -> torch.Tensor:
        """Turn a batch of pixels into what the network takes, on the batch's device.

        Parameters
        ----------
        batch : Tensor of shape (batch, height, width, 3), dtype uint8
            Pixels.

        Returns
        -------
        Tensor of shape (batch, 3, height, width), dtype float32
            ``(pixels / 255 - mean) / std``, channels last in memory.
        """
        _, height, width, channels = batch.shape
        mean = torch.tensor(self.mean, dtype=torch.float64)
        std = torch.tensor(self.std, dtype=torch.float64)
        # A whole line of pixels at a time: an innermost axis of three would not be vectorised.
        scale, shift = (
            values.repeat(width).to(batch.device, torch.float32)
            for values in (1 / (255 * std), -mean / std)
        )
        lines = batch.reshape(-1, width * channels).to(torch.float32)
        values = torch.addcmul(shift, lines, scale).view(-1, height, width, channels)
        return values.permute(0, 3, 1, 2)  # (batch, 3, height, width)

    def _box(self, width: int, height: int) -> tuple[float, float, float, float]:
        """Return what the crop covers of an image, in the image's own, fractional pixels."""
        shorter = min(width, height)
        resized = (self.resize, self.resize)
        if self.fit == "shorter":  # rounded as torchvision's `resize` does
            resized = (
                int(self.resize * width / shorter),
                int(self.resize * height / shorter),
            )
        left, top = (round((side - self.crop) / 2) for side in resized)  # as its `center_crop`
        x, y = width / resized[0], height / resized[1]  # source pixels in one resized pixel
        # A float rounded up must not leave the image.
        right, bottom = min(width, (left + self.crop) * x), min(height, (top + self.crop) * y)
        return left * x, top * y, right, bottom


def _side(size: Any) -> int:
    """Read torchvision's sizes, which are lists of one."""
    return int(size if isinstance(size, int) else size[0])


def _floats(values: Any) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def _interpolation(name: str) -> Interpolation:
    """Read a name of torchvision or timm; `__post_init__` checks it."""
    return cast("Interpolation", "nearest" if name == "nearest-exact" else name)

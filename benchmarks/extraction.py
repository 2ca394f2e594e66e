"""How fast are features computed, beside the loops that people write and the limit of the machine?

    python benchmarks/extraction.py --data ../shared/data

All contestants take the same images and compute the average of the last stage, in turn; the figures are
images per second. Weights are random, which changes no speed. The limit is a product of two square bfloat16
matrices, its rate divided by the operations of the network.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torchvision
from PIL import Image
from reporting import bfloat16_rate, in_turn, print_table, save
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode

from sktransfer import DeepFeatureTransformer

if TYPE_CHECKING:
    from collections.abc import Callable

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Photos(Dataset):  # type: ignore[type-arg]
    """Paths through torchvision's own transforms, as its tutorials have it."""

    def __init__(self, paths: list[str], transforms: Callable[[Image.Image], torch.Tensor]) -> None:
        self.paths, self.transforms = paths, transforms

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> torch.Tensor:
        return self.transforms(Image.open(self.paths[row]).convert("RGB"))


def headless(name: str) -> nn.Module:
    """The network of torchvision that ends with its pooled features."""
    network = torchvision.models.get_model(name, weights=None).eval()
    last = "fc" if hasattr(network, "fc") else "classifier"
    setattr(network, last, nn.Identity())
    return network


@torch.no_grad()
def plain_loop(network: nn.Module, pixels: np.ndarray, batch_size: int) -> np.ndarray:
    """Float32, default memory format, batch by batch."""
    mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
    rows = []
    for start in range(0, len(pixels), batch_size):
        batch = torch.from_numpy(pixels[start : start + batch_size]).permute(0, 3, 1, 2)
        rows.append(network((batch.float() / 255 - mean) / std).numpy())
    return np.concatenate(rows)


@torch.no_grad()
def loader_loop(
    network: nn.Module, paths: list[str], transforms: Any, batch_size: int
) -> np.ndarray:
    """Float32, decoded by the workers of a DataLoader."""
    loader = DataLoader(Photos(paths, transforms), batch_size, num_workers=2)
    return np.concatenate([network(batch).numpy() for batch in loader])


def embetter_pipeline(name: str, paths: list[str]) -> Callable[[], Any] | None:
    """Embetter's images to vectors, one by one; None if it is not installed."""
    try:
        import timm
        from embetter.vision import ImageLoader, TimmEncoder
    except ImportError:
        return None
    create = timm.create_model
    timm.create_model = lambda *args, **kwargs: create(*args, **{**kwargs, "pretrained": False})
    try:
        encoder = TimmEncoder(TIMM_NAMES[name], encode_predictions=False)
    finally:
        timm.create_model = create
    return lambda: encoder.transform(ImageLoader().transform(paths))


def timm_loop(name: str, pixels: np.ndarray, batch_size: int) -> Callable[[], Any] | None:
    """A plain loop over timm's network without a classifier."""
    try:
        import timm
    except ImportError:
        return None
    network = timm.create_model(TIMM_NAMES[name], pretrained=False, num_classes=0).eval()
    return lambda: plain_loop(network, pixels, batch_size)


TIMM_NAMES = {
    "resnet50": "resnet50",
    "resnet18": "resnet18",
    "mobilenet_v2": "mobilenetv2_100",
    "mobilenet_v3_small": "mobilenetv3_small_100",
    "efficientnet_b0": "efficientnet_b0",
}


def limit(name: str) -> float:
    """Images per second if every operation ran at the rate of a bfloat16 matrix product."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        headless(name)(torch.zeros(1, 3, 224, 224))
    return bfloat16_rate() / counter.get_total_flops()


def from_arrays(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Arrays that have the network's size already."""
    pixels = np.random.default_rng(0).integers(0, 256, (options.images, 224, 224, 3), np.uint8)
    ours = DeepFeatureTransformer(
        name,
        weights="random",
        random_state=0,
        cache=None,
        batch_size=options.batch_size,
        num_workers=options.workers,
    ).fit(pixels)
    network = headless(name)
    contestants: dict[str, Any] = {
        "sktransfer": lambda: ours.transform(pixels),
        "float32 loop": lambda: plain_loop(network, pixels, options.batch_size),
        "timm loop": timm_loop(name, pixels, options.batch_size),
    }
    seconds = in_turn({key: run for key, run in contestants.items() if run}, options.rounds)
    per_second = {key: options.images / spent for key, spent in seconds.items()}
    bound = limit(name)
    return {
        "network": name,
        "precision": ours.plan_.precision,
        **{key: per_second.get(key, float("nan")) for key in contestants},
        "limit": bound,
        "of the limit": f"{per_second['sktransfer'] / bound:.0%}",
        "times the float32 loop": per_second["sktransfer"] / per_second["float32 loop"],
    }


def from_paths(name: str, paths: list[str], options: argparse.Namespace) -> dict[str, Any]:
    """Photographs on disk."""
    ours = DeepFeatureTransformer(
        name,
        weights="random",
        random_state=0,
        cache=None,
        batch_size=options.batch_size,
        num_workers=options.workers,
    ).fit(paths)
    network = headless(name)
    transforms = torchvision.models.get_model_weights(name).DEFAULT.transforms()
    contestants: dict[str, Any] = {
        "sktransfer": lambda: ours.transform(paths),
        "DataLoader loop": lambda: loader_loop(network, paths, transforms, options.batch_size),
        "embetter": embetter_pipeline(name, paths),
    }
    seconds = in_turn({key: run for key, run in contestants.items() if run}, options.rounds)
    per_second = {key: len(paths) / spent for key, spent in seconds.items()}
    return {
        "network": name,
        "precision": ours.plan_.precision,
        **{key: per_second.get(key, float("nan")) for key in contestants},
        **{
            f"times {key}": per_second["sktransfer"] / per_second.get(key, float("nan"))
            for key in ("DataLoader loop", "embetter")
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--networks",
        nargs="+",
        default=["resnet50", "resnet18", "mobilenet_v3_small", "efficientnet_b0"],
    )
    parser.add_argument("--path-networks", nargs="+", default=["resnet50", "mobilenet_v2"])
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument(
        "--workers", default="auto", type=lambda text: text if text == "auto" else int(text)
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--data", type=Path, help="folder with hymenoptera; without it, no paths")
    parser.add_argument("--photos", type=int, default=192)
    parser.add_argument("--out", type=Path, help="write the figures to this JSON file")
    options = parser.parse_args()
    torch.manual_seed(0)
    arrays = [from_arrays(name, options) for name in options.networks]
    print("Arrays of 224 px, images per second:\n")
    if arrays:
        print_table(arrays)
    photos = []
    if options.data:
        paths = [
            str(path)
            for path in sorted((options.data / "hymenoptera").rglob("*.jpg"))[: options.photos]
        ]
        photos = [from_paths(name, paths, options) for name in options.path_networks]
        print("\nJPEG photographs from paths, images per second:\n")
        print_table(photos)
    save(options.out, [*arrays, *photos], batch_size=options.batch_size, rounds=options.rounds)


if __name__ == "__main__":
    warnings.simplefilter("ignore", UserWarning)
    main()

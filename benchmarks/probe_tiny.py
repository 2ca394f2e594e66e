"""Linear probe of `tiny`: what its features are worth, beside raw pixels and the untrained network.

    python benchmarks/probe_tiny.py --data ../shared/data

Features are the averages of the last two stages. A logistic regression is fitted on a few images a class and
scored on the test part; C is chosen on a quarter of the training images; each figure is a mean over draws.
"""

from __future__ import annotations

import argparse
import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from sktransfer.backbones.tiny import IMAGE_SIZE, MEAN, STD, WEIGHTS_FILE, Tiny, tiny

if TYPE_CHECKING:
    from collections.abc import Callable

COSTS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)


class Part(NamedTuple):
    """Images (n, 3, height, width), uint8, and their labels (n,)."""

    images: Tensor
    labels: np.ndarray


class Task(NamedTuple):
    """A data set to probe, with the numbers of training images a class."""

    train: Part
    test: Part
    sizes: tuple[int, ...]


@torch.inference_mode()
def embed(net: Tiny, images: Tensor, batch_size: int = 250) -> np.ndarray:
    """Average the maps of `layer3` and `layer4`: (n, channels of both)."""
    device = next(net.parameters()).device
    mean, std = (torch.tensor(values, device=device)[:, None, None] for values in (MEAN, STD))
    training = net.training
    net.eval()
    rows = []
    for batch in images.split(batch_size):
        pixels = _resize(batch.to(device).float() / 255)
        x = ((pixels - mean) / std).contiguous(memory_format=torch.channels_last)
        with torch.autocast(device.type, torch.bfloat16):
            third = net.layer3(net.layer2(net.layer1(net.stem(x))))
            fourth = net.layer4(third)
        rows.append(torch.cat([third.float().mean((2, 3)), fourth.float().mean((2, 3))], 1).cpu())
    net.train(training)
    return torch.cat(rows).numpy()


def probe(
    train: np.ndarray,
    y_train: np.ndarray,
    test: np.ndarray,
    y_test: np.ndarray,
    per_class: int,
    seed: int,
) -> float:
    """Accuracy of one draw of `per_class` training rows of each class."""
    order = np.random.default_rng(seed).permutation(len(y_train))
    rows = np.concatenate([order[y_train[order] == c][:per_class] for c in np.unique(y_train)])
    X, y = train[rows], y_train[rows]
    X_fit, X_val, y_fit, y_val = train_test_split(
        X, y, test_size=0.25, stratify=y, random_state=seed
    )
    costs = {cost: _model(cost).fit(X_fit, y_fit).score(X_val, y_val) for cost in COSTS}
    best = max(COSTS, key=costs.__getitem__)
    return float(_model(best).fit(X, y).score(test, y_test))


def cifar10(data: Path) -> Task:
    with np.load(data / "cifar10" / "cifar10_small.npz") as file:
        train = Part(_planes(file["x_train"]), file["y_train"])
        return Task(train, Part(_planes(file["x_test"]), file["y_test"]), (10, 100, 500))


def digits(_: Path) -> Task:
    """The 8x8 digits that scikit-learn bundles."""
    X, y = load_digits(return_X_y=True)
    images = _planes(np.repeat((X.reshape(-1, 8, 8, 1) * (255 / 16)).astype(np.uint8), 3, axis=3))
    return Task(Part(images[:1000], y[:1000]), Part(images[1000:], y[1000:]), (5, 20))


def mnistm(data: Path) -> Task:
    with np.load(data / "digits" / "mnistm.npz") as file:
        train = Part(_planes(file["x_train"]), file["y_train"])
        return Task(train, Part(_planes(file["x_test"]), file["y_test"]), (20,))


def hymenoptera(data: Path) -> Task:
    def read(part: str) -> Part:
        paths = sorted((data / "hymenoptera" / part).glob("*/*.jpg"))
        names = [path.parent.name for path in paths]
        return Part(torch.cat([_read(path) for path in paths]), np.array(names))

    return Task(read("train"), read("val"), (20, 100))


TASKS: dict[str, Callable[[Path], Task]] = {
    "CIFAR-10": cifar10,
    "digits": digits,
    "MNIST-M": mnistm,
    "hymenoptera": hymenoptera,
}


def accuracies(
    task: Task, describe: Callable[[Tensor], np.ndarray], n_draws: int
) -> dict[int, float]:
    """Mean accuracy of the probe for each training size of the task."""
    train, test = describe(task.train.images), describe(task.test.images)
    return {
        size: float(
            np.mean(
                [
                    probe(train, task.train.labels, test, task.test.labels, size, seed)
                    for seed in range(n_draws)
                ]
            )
        )
        for size in task.sizes
    }


def raw_pixels(images: Tensor) -> np.ndarray:
    """Flatten the pixels, photographs at the side of CIFAR's: (n, 3 * side * side)."""
    small = images if images.shape[-1] <= 32 else _resize(images.float(), 32)
    return small.flatten(1).float().numpy()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--data", type=Path, required=True, help="folder with cifar10, digits, hymenoptera"
    )
    parser.add_argument("--weights", type=Path, default=WEIGHTS_FILE)
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--out", type=Path, help="write the figures to this JSON file")
    options = parser.parse_args()
    torch.manual_seed(0)
    untrained, trained = tiny(), tiny()
    trained.load_state_dict(load_file(options.weights), strict=False)
    columns: dict[str, Callable[[Tensor], np.ndarray]] = {
        "raw pixels": raw_pixels,
        "untrained": lambda images: embed(untrained, images),
        "tiny": lambda images: embed(trained, images),
    }
    results = {}
    print("| data | images a class | " + " | ".join(columns) + " |")
    print("|---|---|" + "---|" * len(columns))
    for name, load in TASKS.items():
        task = load(options.data)
        scores = {
            column: accuracies(task, describe, options.draws)
            for column, describe in columns.items()
        }
        results[name] = scores
        for size in task.sizes:
            row = " | ".join(f"{scores[column][size]:.3f}" for column in columns)
            print(f"| {name} | {size} | {row} |", flush=True)
    if options.out:
        options.out.write_text(json.dumps(results, indent=1))


def _model(cost: float) -> LogisticRegression:
    return make_pipeline(StandardScaler(), LogisticRegression(C=cost, max_iter=300))


def _planes(images: np.ndarray) -> Tensor:
    """Turn (n, height, width, 3) into a tensor (n, 3, height, width)."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()


def _read(path: Path) -> Tensor:
    """Decode a photograph and cut its central square, at the network's size: (1, 3, 64, 64)."""
    picture = Image.open(path).convert("RGB")
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    picture = picture.resize(
        (IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BILINEAR, (left, top, left + side, top + side)
    )
    return _planes(np.asarray(picture)[None].copy())


def _resize(pixels: Tensor, size: int = IMAGE_SIZE) -> Tensor:
    return F.interpolate(pixels, (size, size), mode="bilinear", antialias=True)


if __name__ == "__main__":
    warnings.simplefilter("ignore", ConvergenceWarning)
    main()

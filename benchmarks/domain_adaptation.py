"""How much of the way from a source to an unlabelled target does each adaptation go?

    python benchmarks/domain_adaptation.py --only blobs moons bundled
    python benchmarks/domain_adaptation.py --only bundled --settings '{"strategy": "full"}'
    python benchmarks/domain_adaptation.py --only mnistm mnist-usps --data data/digits --seeds 0 1 2

Each method is fitted to the labelled source and the unlabelled training part of the target, for a fixed number of
epochs, and the last state is scored once on the test part of the target. "Source only" is the same network with
lambda 0. `--settings` takes the place of parameters of `DANNClassifier` that a task brings. `--data` is a folder with
mnist.npz, mnistm.npz and usps.npz, which hold x_train, y_train, x_test and y_test as bytes.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from reporting import print_table, save
from sklearn.datasets import make_moons
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from torch import nn

from sktransfer import (
    DANNClassifier,
    DeepCORALClassifier,
    DeepFeatureTransformer,
    DomainAlignedClassifier,
    FineTuneClassifier,
    MMDClassifier,
)
from sktransfer.datasets import load_digit_domains
from sktransfer.exceptions import TrainingWarning
from sktransfer.folders import load_class_folders

if TYPE_CHECKING:
    from collections.abc import Callable

SMALL = {
    "batch_norm": "per_domain",
    "bottleneck": 64,
    "domain_head": (64,),
    "lr": 0.01,
    "max_epochs": 100,
}
MOONS = {
    "batch_norm": None,
    "bottleneck": 1024,
    "domain_head": (16,),
    "dropout": 0.0,
    "entropy_weight": 1.0,
    "lr": 0.01,
    "batch_size": 16,
    "max_epochs": 200,
}
DIGITS = {
    "strategy": "scratch",
    "pooling": "flatten",
    "batch_norm": "per_domain",
    "domain_head": (100,),
}
MODERN = {**DIGITS, "pixel_norm": "per_domain", "batch_size": 64}


def paper_head(in_features: int, out_features: int) -> nn.Module:
    """Build the class head of figure 4 (a) of the paper: two layers of 100."""
    return nn.Sequential(
        nn.Linear(in_features, 100),
        nn.ReLU(),
        nn.Linear(100, 100),
        nn.ReLU(),
        nn.Linear(100, out_features),
    )


# The convolutions of the paper have no BatchNorm; without a bottleneck there is none at all.
PAPER = {
    **MODERN,
    "bottleneck": None,
    "head": paper_head,
    "dropout": 0.0,
    "optimizer": "sgd",
    "lr": 0.02,
    "lambda_max": 0.3,
}


@dataclass(frozen=True)
class Task:
    """Labelled source, unlabelled target to train on, and labelled target to score on."""

    X_source: np.ndarray
    y_source: np.ndarray
    X_target: np.ndarray
    y_target: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray
    network: Any
    settings: dict[str, Any]


def blobs(seed: int, *_: Any) -> Task:
    """Two classes that tell by one column; in the target that column is constant and tells the domain."""
    rng = np.random.default_rng(seed)
    y = rng.integers(2, size=400)
    sign, target = 2 * y - 1, np.arange(400) >= 200
    noise = rng.normal(size=(400, 2))
    X = np.stack([np.where(target, 10, 4 * sign) + noise[:, 0], 2 * sign + 0.7 * noise[:, 1]], 1)
    return Task(X[:200], y[:200], X[200:], y[200:], X[200:], y[200:], None, SMALL)


def moons(seed: int, *_: Any, degrees: float = 35, **settings: Any) -> Task:
    """Two moons, 150 points each, and others that are turned, as in section 5.1 of the paper.

    The moons are no mirror image of themselves, so it matters which way they are turned.
    """
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    X, y = make_moons(300, noise=0.05, random_state=seed)
    X_target, y_target = make_moons(300, noise=0.05, random_state=seed + 1000)
    X, X_target = X - [0.5, 0.25], (X_target - [0.5, 0.25]) @ turn.T
    return Task(X, y, X_target, y_target, X_target, y_target, None, {**MOONS, **settings})


def bundled(seed: int, *_: Any) -> Task:
    """The digits that come with the package; three tenths of the target are only scored on."""
    domains = load_digit_domains()
    kept, test = train_test_split(
        np.arange(len(domains.y_target)),
        test_size=0.3,
        random_state=seed,
        stratify=domains.y_target,
    )
    return Task(
        domains.X_source,
        domains.y_source,
        domains.X_target[kept],
        domains.y_target[kept],
        domains.X_target[test],
        domains.y_target[test],
        "tiny",
        {},  # all by default
    )


def from_files(
    source: str, target: str, network: str, settings: dict[str, Any]
) -> Callable[..., Task]:
    """Return what makes a task of two files."""

    def make(_: int, data: Path) -> Task:
        one, other = (np.load(data / f"{name}.npz") for name in (source, target))
        return Task(
            as_colour(one["x_train"]),
            one["y_train"],
            as_colour(other["x_train"]),
            other["y_train"],
            as_colour(other["x_test"]),
            other["y_test"],
            network,
            settings,
        )

    return make


def from_pictures(source: str, target: str) -> Callable[..., Task]:
    """Return what makes a task of two folders of classes; half of the target is only scored on.

    MobileNetV2 with all defaults; its weights come by `--settings '{"weights": FILE}'`.
    """

    def make(seed: int, data: Path) -> Task:
        X, y = load_class_folders(data / source)
        X_other, y_other = load_class_folders(data / target)
        kept, test = train_test_split(
            np.arange(len(X_other)), test_size=0.5, random_state=seed, stratify=y_other
        )
        return Task(
            X, y, X_other[kept], y_other[kept], X_other[test], y_other[test], "mobilenet_v2", {}
        )

    return make


MAKERS: dict[str, Callable[..., Task]] = {
    "blobs": blobs,
    "moons": moons,
    "moons-clockwise": partial(moons, degrees=-35, batch_norm="per_domain"),
    "bundled": bundled,
    "mnistm": from_files("mnist", "mnistm", "digits28", {**MODERN, "max_epochs": 4}),
    "mnistm-paper": from_files("mnist", "mnistm", "dann_mnist", {**PAPER, "max_epochs": 20}),
    "mnist-usps": from_files("mnist", "usps", "digits28", {**MODERN, "max_epochs": 4}),
    "usps-mnist": from_files("usps", "mnist", "digits28", {**MODERN, "max_epochs": 4}),
    "photo-cartoon": from_pictures("photo", "cartoon"),
    "cartoon-photo": from_pictures("cartoon", "photo"),
}


def as_colour(images: np.ndarray) -> np.ndarray:
    """Give grey images three channels."""
    return np.repeat(images[..., None], 3, axis=-1) if images.ndim == 3 else images


def fit(name: str, task: Task, seed: int) -> Any:
    """Fit one method."""
    if name == "trained on target":
        return on_target(task, seed)
    if name in ON_VECTORS:
        return on_vectors(task, seed, ON_VECTORS[name])
    settings = {**task.settings, "random_state": seed}
    if name in ("DeepCORAL", "MMD"):
        settings.pop("domain_head", None)
        model = (DeepCORALClassifier if name == "DeepCORAL" else MMDClassifier)(
            task.network, **settings
        )
    else:
        if name == "source only":
            settings["lambda_max"] = 0.0
        if name == "DANN, alternating":
            settings["algorithm"] = "alternating"
        model = DANNClassifier(task.network, **settings)
    return model.fit(task.X_source, task.y_source, X_target=task.X_target)


def on_vectors(task: Task, seed: int, method: str | None) -> Any:
    """Fit a logistic regression to stored features, aligned without gradients or not at all."""
    network = {name: task.settings[name] for name in ("weights",) if name in task.settings}
    features = DeepFeatureTransformer(task.network, **network, cache="memory", random_state=seed)
    logistic = LogisticRegression(max_iter=2000)
    if method is None:
        return make_pipeline(features, logistic).fit(task.X_source, task.y_source)
    model = make_pipeline(features, DomainAlignedClassifier(logistic, method=method))
    domains = np.repeat([0, -1], [len(task.y_source), len(task.y_target)])
    return model.fit(
        np.concatenate([task.X_source, task.X_target]),
        np.concatenate([task.y_source, task.y_target]),  # those of the target are not looked at
        domainalignedclassifier__sample_domain=domains,
    )


def on_target(task: Task, seed: int) -> Any:
    """Train the same network on the labels of the target: what could be reached."""
    if task.network is None:
        settings = {**task.settings, "lambda_max": 0.0, "random_state": seed}
        return DANNClassifier(None, **settings).fit(
            task.X_target, task.y_target, X_target=task.X_target
        )
    shared = ("strategy", "n_trainable", "pooling", "image_size", "lr", "max_epochs")
    return FineTuneClassifier(
        task.network,
        **{name: task.settings[name] for name in shared if name in task.settings},
        head="mlp",
        augmentation=None,
        early_stopping=False,
        random_state=seed,
    ).fit(task.X_target, task.y_target)


ON_VECTORS = {
    "features": None,
    "features, standardized domains": "standardize",
    "features, CORAL": "coral",
    "features, subspaces": "subspaces",
    "features, transport": "optimal_transport",
}
METHODS = (
    *("source only", "DANN", "DANN, alternating", "DeepCORAL", "MMD", "trained on target"),
    *ON_VECTORS,
)


def skada_row(task: Task, seed: int, *, corrected: bool) -> float:
    """Fit skada's DANN to rows of numbers, with its own domain head or with one that gives logits."""
    import torch
    from skada.deep import DANN
    from skada.deep.modules import DomainClassifier

    torch.manual_seed(seed)
    width = 64

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.hidden = torch.nn.Sequential(
                torch.nn.Linear(task.X_source.shape[1], width), torch.nn.ReLU()
            )
            self.scores = torch.nn.Linear(width, 2)

        def forward(self, X: Any, sample_weight: Any = None) -> Any:
            del sample_weight
            return self.scores(self.hidden(X))

    options: dict[str, Any] = {"num_features": width}
    if corrected:
        head = torch.nn.Sequential(
            torch.nn.Linear(width, 64),
            torch.nn.ReLU(),
            torch.nn.Linear(64, 1),
            torch.nn.Sigmoid(),
            torch.nn.Flatten(0),
        )
        options = {"domain_classifier": head}
    else:
        options = {"domain_classifier": DomainClassifier(num_features=width)}
    net = DANN(
        Network(),
        layer_name="hidden",
        batch_size=32,
        max_epochs=100,
        lr=0.01,
        train_split=None,
        verbose=0,
        optimizer=torch.optim.Adam,
        **options,
    )
    X = np.concatenate([task.X_source, task.X_target]).astype(np.float32)
    mean, std = X.mean(0), X.std(0)
    y = np.concatenate([task.y_source, np.full(len(task.y_target), -1)])
    domain = np.repeat([1, -2], [len(task.y_source), len(task.y_target)])
    net.fit((X - mean) / std, y, sample_domain=domain)
    told = net.predict(
        ((task.X_test - mean) / std).astype(np.float32), sample_domain=np.full(len(task.y_test), -2)
    )
    return float(np.mean(told == task.y_test))


def run(
    name: str, method: str, seeds: list[int], data: Path, settings: dict[str, Any]
) -> dict[str, Any]:
    """Fit one method with each seed."""
    scores, minutes, n_collapsed = [], [], 0
    for seed in seeds:
        task = MAKERS[name](seed, data)
        task = replace(task, settings={**task.settings, **settings})
        start = time.perf_counter()
        if method.startswith("skada"):
            scores.append(skada_row(task, seed, corrected="corrected" in method))
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", TrainingWarning)  # counted below
                model = fit(method, task, seed)
            history = getattr(model, "history_", [])
            n_collapsed += any("collapsed" in epoch for epoch in history)
            scores.append(model.score(task.X_test, task.y_test))
        minutes.append((time.perf_counter() - start) / 60)
    return {
        "task": name,
        "method": method,
        "seeds": len(seeds),
        "target mean": float(np.mean(scores)),
        "least": float(np.min(scores)),
        "most": float(np.max(scores)),
        "collapses": n_collapsed,
        "minutes a fit": float(np.mean(minutes)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=MAKERS, default=["blobs", "moons", "bundled"])
    parser.add_argument(
        "--methods",
        nargs="+",
        default=["source only", "DANN", "trained on target"],
        choices=[*METHODS, "skada", "skada, corrected head"],
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument(
        "--settings", type=json.loads, default={}, metavar="JSON", help="in place of the tasks' own"
    )
    parser.add_argument("--data", type=Path, default=Path("data/digits"))
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    rows = [
        run(name, method, args.seeds, args.data, args.settings)
        for name in args.only
        for method in args.methods
        if not method.startswith("skada") or name in ("blobs", "moons", "moons-clockwise")
    ]
    print_table(rows)
    settings = {name: value for name, value in vars(args).items() if name != "out"}
    save(args.out, rows, **settings)


if __name__ == "__main__":
    main()

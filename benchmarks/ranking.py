"""How long do the scores of transferability take, and do they rank as a linear probe does?

    python benchmarks/ranking.py --only speed
    python benchmarks/ranking.py --only correlation --data DATA --weights WEIGHTS

Speed: 5,000 x 2,048 features, 10 classes; beside LogME by the singular value decomposition that its paper describes. On
one thread, CPU seconds are what a quiet machine would need. Correlation: pre-trained and untrained networks at several
layers on hymenoptera, CIFAR-10 and digits, and for each score Kendall's tau with the cross-validated accuracy of
logistic regression (C=0.01) on the same features. DATA holds hymenoptera/train/{ants,bees} and
cifar10/cifar10_small.npz, WEIGHTS mobilenet_v2.safetensors and squeezenet1_1.safetensors.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
from reporting import print_table, save
from scipy.stats import kendalltau, spearmanr

from sktransfer import DeepFeatureTransformer, rank_backbones
from sktransfer.backbones import get_backbone
from sktransfer.datasets import load_digit_images
from sktransfer.folders import load_class_folders
from sktransfer.ranking import RANKING_METHODS
from sktransfer.ranking.transferability import linear_cv_accuracy

PRETRAINED = ("mobilenet_v2", "squeezenet1_1")


def logme_by_svd(F: np.ndarray, y: np.ndarray) -> float:
    """Compute LogME from the decomposition of the features, class by class, as in its paper."""
    n = len(F)
    U, s, _ = np.linalg.svd(F, full_matrices=False)
    values = []
    for label in np.unique(y):
        target = (y == label).astype(float)
        z = (U.T @ target) ** 2
        outside, squares, alpha, beta = target @ target - z.sum(), s**2, 1.0, 1.0
        for _ in range(200):
            t = alpha / beta
            gamma = (squares / (squares + t)).sum()
            norm = (squares * z / (squares + t) ** 2).sum()
            residual = outside + (z * (t / (squares + t)) ** 2).sum()
            alpha, beta = gamma / norm, (n - gamma) / residual
            if abs(alpha / beta / t - 1) < 1e-7:
                break
        values.append(
            n * np.log(beta / (2 * np.pi)) - beta * residual - alpha * norm
            - np.log1p(squares * beta / alpha).sum()
        )  # fmt: skip
    return float(np.mean(values) / 2 / n)


def speed(n: int, d: int, n_rounds: int) -> list[dict[str, Any]]:
    """Time every score on rectified noise whose first columns know the class."""
    rng = np.random.default_rng(0)
    y = np.arange(n) % 10
    F = np.maximum(rng.standard_normal((n, d), np.float32), 0)
    F[np.arange(n), y] += 1
    theta = rng.dirichlet(np.ones(1000), n)
    runs = {
        name: (lambda f=f, name=name: f(theta if name == "leep" else F, y))
        for name, f in RANKING_METHODS.items()
    }
    runs["logme by SVD"] = lambda: logme_by_svd(F.astype(np.float64), y)
    assert np.isclose(runs["logme"](), runs["logme by SVD"](), rtol=1e-8)
    rows = []
    for name, run in runs.items():
        wall, cpu = [], []
        for _ in range(n_rounds):
            start = time.perf_counter(), time.process_time()
            run()
            wall.append(time.perf_counter() - start[0])
            cpu.append(time.process_time() - start[1])
        rows.append(
            {"score": name, "images": n, "features": d,
             "seconds": statistics.median(wall), "CPU seconds": statistics.median(cpu)}
        )  # fmt: skip
    return rows


def collections(data: Path, n_images: int) -> dict[str, tuple[Any, np.ndarray]]:
    """Load the images, at most `n_images` of each collection, classes in equal parts."""
    found: dict[str, tuple[Any, np.ndarray]] = {}
    if (data / "hymenoptera").exists():
        found["hymenoptera"] = load_class_folders(data / "hymenoptera" / "train")
    if (data / "cifar10").exists():
        cifar = np.load(data / "cifar10" / "cifar10_small.npz")
        found["CIFAR-10"] = cifar["x_train"], cifar["y_train"]
    found["digits"] = load_digit_images(return_X_y=True)
    return {name: equal_parts(X, y, n_images) for name, (X, y) in found.items()}


def equal_parts(X: Any, y: np.ndarray, n_images: int) -> tuple[Any, np.ndarray]:
    classes = np.unique(y)
    rows = np.concatenate([np.flatnonzero(y == c)[: n_images // len(classes)] for c in classes])
    return X[np.sort(rows)], y[np.sort(rows)]


def contestants(weights: Path) -> dict[str, DeepFeatureTransformer]:
    """List each network, pre-trained and untrained, at each of its stages but the first."""
    networks = {"tiny": "default"}
    for name in PRETRAINED:
        file = weights / f"{name}.safetensors"
        if file.exists():
            networks[name] = str(file)
    found = {}
    for name, given in networks.items():
        for kind, source in (("", given), ("untrained ", "random")):
            for layer in get_backbone(name).layer_names[1:]:
                found[f"{kind}{name} {layer}"] = DeepFeatureTransformer(
                    name, weights=source, layers=layer, random_state=0
                )
    return found


def correlation(data: Path, weights: Path, n_images: int) -> tuple[list[Any], list[Any]]:
    """Score every contestant by every method, and correlate with the linear probe."""
    entries = contestants(weights)
    scores, rows = [], []
    for collection, (X, y) in collections(data, n_images).items():
        tables = {
            method: rank_backbones(X, y, backbones=entries, method=method)
            .set_index("backbone")["score"]
            .reindex(list(entries))
            for method in RANKING_METHODS
            if method != "leep"
        }
        probe = tables.pop("linear_cv")
        # The folds of a second cross-validation say how far the yardstick agrees with itself.
        tables["linear_cv, other folds"] = probe.copy()
        for name, features in entries.items():
            tables["linear_cv, other folds"][name] = linear_cv_accuracy(
                features.transform(X), y, random_state=1
            )
        for method, found in tables.items():
            last = [name for name in entries if name.endswith(_last_layers())]
            rows.append(
                {
                    "images": f"{collection} ({len(y)})",
                    "score": method,
                    "tau, all layers": kendalltau(found, probe).statistic,
                    "rho, all layers": spearmanr(found, probe).statistic,
                    "tau, last layers": kendalltau(found[last], probe[last]).statistic,
                    "chosen": found.idxmax(),
                    "its accuracy": probe[found.idxmax()],
                    "best accuracy": probe.max(),
                }
            )
        scores += [
            {"images": collection, "network": name, "linear_cv": probe[name],
             **{m: t[name] for m, t in tables.items()}} for name in entries
        ]  # fmt: skip
    return rows, scores


def _last_layers() -> tuple[str, ...]:
    return tuple(f"{name} {get_backbone(name).layer_names[-1]}" for name in ("tiny", *PRETRAINED))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", choices=("speed", "correlation"))
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--weights", type=Path, default=Path("data/weights"))
    parser.add_argument("--images", type=int, default=1000, help="at most, of each collection")
    parser.add_argument("--size", type=int, nargs=2, default=(5000, 2048), help="images, features")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="write the figures to this JSON file")
    options = parser.parse_args()
    rows: list[Any] = []
    scores: list[Any] = []
    if options.only != "correlation":
        rows = speed(*options.size, options.rounds)
        print_table(rows)
    if options.only != "speed":
        rows, scores = correlation(options.data, options.weights, options.images)
        print_table(rows)
        print()
        print_table(scores)
    save(options.out, rows, scores=scores, images=options.images)


if __name__ == "__main__":
    main()

"""What does comparing all strategies cost, against the slowest of them alone?

    python benchmarks/comparison.py --data hymenoptera/train --backbone mobilenet_v2 --weights mobilenet_v2.safetensors

Every candidate of `compare_strategies` on the same folds; then the slowest of them alone, and those on features alone,
each with an empty store. Images that go through the network without training it are counted: those on features need
each image once, and tuned networks pass what they predict. Without --data, bundled digits.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
from reporting import print_table, save

from sktransfer import DeepFeatureTransformer, compare_strategies
from sktransfer.comparison import StrategyComparison, strategy_candidates
from sktransfer.datasets import load_digit_images
from sktransfer.features.engine import Engine
from sktransfer.folders import load_class_folders


def load(options: argparse.Namespace) -> tuple[Any, np.ndarray]:
    """Read the images, or as many of them as asked for, drawn at random."""
    X, y = load_class_folders(options.data) if options.data else load_digit_images(return_X_y=True)
    rows = np.random.default_rng(0).permutation(len(X))[: options.images]
    return X[rows], y[rows]


def compare(
    X: Any, y: np.ndarray, options: argparse.Namespace, names: list[str]
) -> tuple[StrategyComparison, float, int]:
    """Compare with an empty store, and count seconds and images that the engine saw."""
    DeepFeatureTransformer(options.backbone).clear_cache()
    n_images, run = 0, Engine.run

    def counted(self: Engine, pixels: Any, *args: Any) -> Any:
        nonlocal n_images
        n_images += len(pixels)
        return run(self, pixels, *args)

    Engine.run = counted  # type: ignore[method-assign]
    try:
        start = time.perf_counter()
        comparison = compare_strategies(
            X,
            y,
            candidates=names,
            backbone=options.backbone,
            weights=options.weights,
            cv=options.cv,
            max_epochs=options.max_epochs,
            batch_size=options.batch_size,
            verbose=1,
        )
        return comparison, time.perf_counter() - start, n_images
    finally:
        Engine.run = run  # type: ignore[method-assign]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder with one sub-folder per class")
    parser.add_argument("--images", type=int, help="as many of them; all if not given")
    parser.add_argument("--backbone", default="tiny")
    parser.add_argument("--weights", default="default")
    parser.add_argument("--cv", type=int, default=5)
    parser.add_argument("--max-epochs", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument(
        "--candidates", nargs="+", metavar="NAME", help="by their names; default: all"
    )
    parser.add_argument("--out", type=Path, help="write the figures to this JSON file")
    options = parser.parse_args()
    X, y = load(options)
    names = options.candidates or list(strategy_candidates(options.backbone))
    whole, seconds, n_images = compare(X, y, options, names)
    slowest = whole.results_.sort_values("search_seconds")["candidate"].iloc[-1]
    _, alone, _ = compare(X, y, options, [slowest])
    on_features = [name for name in names if name.startswith("features")]
    n_for_features = compare(X, y, options, on_features)[2] if on_features else 0

    rows = [
        {
            "candidate": row["candidate"],
            "accuracy": row["score_mean"],
            "spread": row["score_std"],
            "p": row["p_value"],
            "settings": row["n_settings"],
            "fit, s": row["fit_seconds"],
            "predict, s": row["predict_seconds"],
            "search, s": row["search_seconds"],
            "peak, MB": row["peak_memory_bytes"] / 1e6,
            "size, MB": row["size_bytes"] / 1e6,
        }
        for _, row in whole.results_.iterrows()
    ]
    print(
        f"\n{len(names)} candidates, {options.cv} folds, at most {options.max_epochs} epochs, "
        f"{len(X)} images, {options.backbone}:\n"
    )
    print_table(rows)
    summary = {
        "whole comparison, s": seconds,
        "slowest alone": slowest,
        "slowest alone, s": alone,
        "times as long": seconds / alone,
        "images": len(X),
        "images through the engine": n_images,
        "those on features alone": n_for_features,
    }
    print()
    print_table([summary])
    settings = {**vars(options), **summary}
    settings.pop("out")
    save(options.out, rows, **settings)


if __name__ == "__main__":
    main()

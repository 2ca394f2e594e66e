"""What does a grid search over layers, pooling and head cost, with and without the store?

    python benchmarks/grid_search.py

20 candidates and 5 folds, three times: features in the store of `DeepFeatureTransformer`; the same transformer
without it; and without it, but in a Pipeline with a joblib.Memory. Images that reach the network are counted.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import torch
from reporting import print_table, save
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from sktransfer import DeepFeatureTransformer
from sktransfer.features.engine import Engine

GRID = {
    "features__layers": [-1, -2],
    "features__pooling": ["avg", "max"],
    "head__C": [1e-4, 1e-3, 1e-2, 1e-1, 1.0],
}


def search(
    X: np.ndarray, y: np.ndarray, network: str, cache: str | None, memory: Any
) -> dict[str, Any]:
    """Run one search and count what it cost."""
    features = DeepFeatureTransformer(network, weights="random", random_state=0, cache=cache)
    features.clear_cache()
    features.fit(X).set_params(cache=None).transform(
        X[:32]
    )  # the network is ready before the clock starts
    features.set_params(cache=cache)
    pipeline = Pipeline(
        [
            ("features", features),
            ("scale", StandardScaler()),
            ("head", LogisticRegression(max_iter=100)),
        ],
        memory=memory,
    )
    n_images = 0
    run = Engine.run

    def counted(self: Engine, pixels: Any, *args: Any) -> Any:
        nonlocal n_images
        n_images += len(pixels)
        return run(self, pixels, *args)

    Engine.run = counted  # type: ignore[method-assign]
    try:
        start = time.perf_counter()
        found = GridSearchCV(pipeline, GRID, cv=5).fit(X, y)
        seconds = time.perf_counter() - start
    finally:
        Engine.run = run  # type: ignore[method-assign]
    return {
        "seconds": seconds,
        "images through the network": n_images,
        "best score": found.best_score_,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--network", default="resnet18")
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--out", type=Path, help="write the figures to this JSON file")
    options = parser.parse_args()
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    y = np.arange(options.images) % 4
    X = rng.integers(0, 256, (options.images, 224, 224, 3), np.uint8) // (
        1 + y[:, None, None, None]
    ).astype(np.uint8)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        memory = joblib.Memory(folder, verbose=0)
        for name, cache, kept in (
            ("store", "memory", None),
            ("joblib.Memory around the transformer", None, memory),
            ("nothing kept", None, None),
        ):
            rows.append({"kept by": name, **search(X, y, options.network, cache, kept)})
    for row in rows:
        row["times as long"] = row["seconds"] / rows[0]["seconds"]
    print(f"20 candidates, 5 folds, {options.images} images of 224 px, {options.network}:\n")
    print_table(rows)
    save(options.out, rows, network=options.network, images=options.images)


if __name__ == "__main__":
    main()

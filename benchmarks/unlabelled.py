"""What does a small network gain by a better one, from images without labels?

    python benchmarks/unlabelled.py --data ../shared/data

`tiny` learns from MobileNetV2 by 5,000 images of CIFAR-10 without labels, or as many as `--images` says. Each figure is
the accuracy of a linear classifier of 10 or 100 other images a class, the mean of 5 or 3 draws, the same for all
networks. Memory is the peak of the fit, and beside it stands that of a partial fine-tuning on the same images.
"""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktransfer import DeepFeatureTransformer, DistilledFeatureTransformer, FineTuneClassifier
from sktransfer.comparison.peak_memory import peak_memory
from sktransfer.exceptions import TeacherWarning

DRAWS = {10: 5, 100: 3}


def probe(model, data, pool):
    train, test = model.transform(data["x_train"]), model.transform(data["x_test"])
    y = data["y_train"]
    means = []
    for per_class, n_draws in DRAWS.items():
        scores = []
        for draw in range(n_draws):
            order = np.random.default_rng(draw).permutation(pool)
            rows = np.concatenate([order[y[order] == c][:per_class] for c in np.unique(y)])
            head = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=2000))
            scores.append(head.fit(train[rows], y[rows]).score(test, data["y_test"]))
        means.append(np.mean(scores))
    return means


def show(name, means, seconds=None, peak=None):
    took = "" if seconds is None else f" | {seconds:.0f} s of CPU | {peak.n_bytes / 1e6:.0f} MB"
    print(f"{name} | {means[0]:.3f} | {means[1]:.3f}{took}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--images", type=int, default=5000)
    options = parser.parse_args()
    data = dict(np.load(options.data / "cifar10" / "cifar10_small.npz"))
    order = np.random.default_rng(0).permutation(len(data["x_train"]))
    unlabelled, pool = order[: options.images], order[5000:]
    teacher = DeepFeatureTransformer(
        "mobilenet_v2", weights=options.data / "weights" / "mobilenet_v2.safetensors", image_size=96
    ).fit(data["x_train"])
    show("teacher", probe(teacher, data, pool))
    show("tiny", probe(DeepFeatureTransformer("tiny").fit(data["x_train"]), data, pool))
    for seed in options.seeds:
        model = DistilledFeatureTransformer("tiny", teacher=teacher, random_state=seed)
        start = time.process_time()
        with warnings.catch_warnings(), peak_memory() as peak:
            warnings.simplefilter("ignore", TeacherWarning)  # no label is given, on purpose
            model.fit(data["x_train"][unlabelled])
        seconds = time.process_time() - start
        show(f"distilled, seed {seed}", probe(model, data, pool), seconds, peak)
    tuned = FineTuneClassifier("tiny", strategy="partial", max_epochs=model.n_iter_, random_state=0)
    start = time.process_time()
    with peak_memory() as peak:
        tuned.fit(data["x_train"][unlabelled], data["y_train"][unlabelled])
    seconds = time.process_time() - start
    print(
        f"fine-tuned on as many, with labels | {seconds:.0f} s of CPU | {peak.n_bytes / 1e6:.0f} MB"
    )


if __name__ == "__main__":
    main()

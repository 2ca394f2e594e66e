"""What does a small network gain by a better one, from images without labels?

    python benchmarks/unlabelled.py --data ../shared/data --seeds 0 1 2
    python benchmarks/unlabelled.py --data ../shared/data --seeds --memory --speed

`tiny` learns from MobileNetV2 by 5,000 images of CIFAR-10 without labels, or as many as `--images` says. Each figure is
the accuracy of a linear classifier of 10 or 100 other images a class, the mean of 5 or 3 draws, the same for all
networks. `--memory` gives the peak of the fit, and that of a partial fine-tuning of as many passes on the same images,
each in a process of its own; `--speed` how many images a second of one thread each network turns into features.
"""

from __future__ import annotations

import argparse
import multiprocessing
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
from sktransfer.unlabelled.passes import n_passes

DRAWS = {10: 5, 100: 3}


def read(options):
    """Give the images, and the rows of those without labels and of those from which labels are drawn."""
    data = dict(np.load(options.data / "cifar10" / "cifar10_small.npz"))
    order = np.random.default_rng(0).permutation(len(data["x_train"]))
    return data, order[: options.images], order[5000:]


def mobilenet(options):
    weights = options.data / "weights" / "mobilenet_v2.safetensors"
    cache = options.cache or "memory"
    return DeepFeatureTransformer("mobilenet_v2", weights=weights, image_size=96, cache=cache)


def student(options, seed):
    cache = options.cache or "memory"
    return DistilledFeatureTransformer(
        "tiny", teacher=mobilenet(options), random_state=seed, cache=cache
    )


def probe(model, data, pool, sizes):
    y, test = data["y_train"], model.transform(data["x_test"])
    means = []
    for per_class in sizes:
        scores = []
        for draw in range(DRAWS[per_class]):
            order = np.random.default_rng(draw).permutation(pool)
            rows = np.concatenate([order[y[order] == c][:per_class] for c in np.unique(y)])
            head = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=2000))
            head.fit(model.transform(data["x_train"][rows]), y[rows])
            scores.append(head.score(test, data["y_test"]))
        means.append(np.mean(scores))
    return means


def show(name, means, seconds=None):
    took = "" if seconds is None else f" | {seconds:.0f} s of CPU"
    print(f"{name} | " + " | ".join(f"{mean:.3f}" for mean in means) + took, flush=True)


def probes(options):
    data, unlabelled, pool = read(options)
    if options.seeds:
        teacher = mobilenet(options).fit(data["x_test"][:10])
        show("teacher", probe(teacher, data, pool, options.labels))
        tiny = DeepFeatureTransformer("tiny").fit(data["x_test"][:10])
        show("tiny", probe(tiny, data, pool, options.labels))
    for seed in options.seeds:
        model, start = student(options, seed), time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", TeacherWarning)  # no label is given, on purpose
            model.fit(data["x_train"][unlabelled])
        seconds = time.process_time() - start
        show(f"distilled, seed {seed}", probe(model, data, pool, options.labels), seconds)


def peak_of(what, options):
    """Fit in this process, which has done nothing else, and say what that took at most."""
    data, unlabelled, _ = read(options)
    X, y = data["x_train"][unlabelled], data["y_train"][unlabelled]
    if what == "distilled":
        model, y = student(options, 0), None
    else:
        passes = n_passes(options.images)
        model = FineTuneClassifier("tiny", strategy="partial", max_epochs=passes, random_state=0)
    with warnings.catch_warnings(), peak_memory() as peak:
        warnings.simplefilter("ignore", TeacherWarning)
        model.fit(X, y)
    print(f"peak memory, {what} | {peak.n_bytes / 1e6:.0f} MB", flush=True)


def memory(options):
    for what in ("distilled", "fine-tuned in part, with labels") * 2:
        process = multiprocessing.get_context("spawn").Process(target=peak_of, args=(what, options))
        process.start()
        process.join()


def speed(options, n_images=256, n_times=3):
    """Compare the features of the same images by all networks, one after the other, several times."""
    data, unlabelled, _ = read(options)
    X = data["x_train"][:n_images]
    student = DistilledFeatureTransformer(
        "tiny", teacher="tiny", max_epochs=1, check_teacher=False, random_state=0, cache=None
    ).fit(data["x_train"][unlabelled[:256]])  # the same work as one that has learned more
    models = [student] + [
        mobilenet(options).set_params(cache=None, image_size=size).fit(X[:10]) for size in (96, 224)
    ]
    seconds = []
    for _ in range(n_times + 1):
        for model in models:
            start = time.process_time()
            model.transform(X)
            seconds.append(time.process_time() - start)
    each = np.reshape(seconds[3:], (n_times, 3))  # but for the first, which warms up
    for name, column in zip(
        ("distilled", "teacher, 96 px", "teacher, 224 px"), each.T, strict=True
    ):
        ratios = column / each[:, 0]
        print(
            f"{name} | {n_images / np.median(column):.0f} images a second of CPU | distilled is "
            f"{np.median(ratios):.1f} ({ratios.min():.1f} to {ratios.max():.1f}) times as fast"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0])
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--labels", type=int, nargs="+", default=[10, 100], help="a class")
    parser.add_argument("--cache", type=Path, help="folder in which killed runs go on")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--speed", action="store_true")
    options = parser.parse_args()
    probes(options)
    if options.memory:
        memory(options)
    if options.speed:
        speed(options)


if __name__ == "__main__":
    main()

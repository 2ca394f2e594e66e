"""Can folds of a few labelled images choose what to do with images without labels?

    python benchmarks/unlabelled_choice.py --data ../shared/data

Frozen vectors of one network a set; labels are drawn anew for each of `--draws`, and up to 1,500 other images of the
training part have none. Four candidates are scored on the test part: features as they are, their square root,
neighbours, self-training of neighbours. Then folds of the labelled images choose, by the highest mean as
`compare_strategies` does, among all four and among the first and the last. Changes are against features as they are.
Last, by the same labels: how often does a teacher, mobilenet_v2 at 96 px, count as better than `tiny`?
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktransfer import (
    DeepFeatureTransformer,
    LabeledClassifier,
    LabeledFold,
    NeighborSelfTrainingClassifier,
    NeighborSmoother,
)
from sktransfer.folders import load_class_folders
from sktransfer.unlabelled import SquareRootTransformer
from sktransfer.unlabelled.teacher_check import score_by_folds

PER_CLASS = (4, 10, 100)
MARGINS = (0, 0.01, 0.02, 0.03, 0.05)


def candidates():
    def head():
        return LabeledClassifier(LogisticRegression(C=0.01, max_iter=2000))

    return {
        "frozen": make_pipeline(StandardScaler(), head()),
        "square root": make_pipeline(SquareRootTransformer(), StandardScaler(), head()),
        "neighbours": make_pipeline(NeighborSmoother(), StandardScaler(), head()),
        "self-training": NeighborSelfTrainingClassifier(),
    }


def networks(data):
    weights = data / "weights" / "mobilenet_v2.safetensors"
    return {
        "tiny": DeepFeatureTransformer("tiny", cache=None),
        "mobilenet_v2": DeepFeatureTransformer("mobilenet_v2", weights=weights, cache=None),
        "mobilenet_v2, 96 px": DeepFeatureTransformer(
            "mobilenet_v2", weights=weights, image_size=96, cache=None
        ),
    }


def arrays(data):
    """Give 4,000 training and 1,000 test images of CIFAR-10 and of MNIST-M."""
    rng = np.random.default_rng(0)
    for name, file in (("CIFAR-10", "cifar10/cifar10_small"), ("MNIST-M", "digits/mnistm")):
        of = np.load(data / f"{file}.npz")
        parts = []
        for part, n_images in (("train", 4000), ("test", 1000)):
            rows = rng.permutation(len(of[f"y_{part}"]))[:n_images]
            parts += [of[f"x_{part}"][rows], of[f"y_{part}"][rows]]
        yield name, parts


def photographs(data):
    """Give folders of photographs, of which the draws make their test parts."""
    yield "photographs", load_class_folders(data / "pictures" / "photo")
    yield "cartoons", load_class_folders(data / "pictures" / "cartoon")
    parts = [load_class_folders(data / "hymenoptera" / part) for part in ("train", "val")]
    yield "hymenoptera", tuple(np.concatenate(both) for both in zip(*parts, strict=True))


def drawn(of, per_class, rng, n_unlabelled=1500):
    """Draw labelled, unlabelled and test rows of one set."""
    X, y, *test = of
    order = rng.permutation(len(X))
    if not test:
        cut = int(0.6 * len(X))
        order, apart = order[:cut], order[cut:]
        test = X[apart], y[apart]
    classes, codes = np.unique(y, return_inverse=True)
    rows = np.concatenate([order[codes[order] == c][:per_class] for c in range(len(classes))])
    if len(rows) < per_class * len(classes):
        return None
    others = rng.permutation(np.setdiff1d(order, rows))[:n_unlabelled]
    labels = np.concatenate([codes[rows], np.full(len(others), -1)])
    return X[np.concatenate([rows, others])], labels, test[0], np.searchsorted(classes, test[1])


def accuracies(of, per_class, draw):
    """Score all candidates on the test part, and by folds of the labelled rows."""
    some = drawn(of, per_class, np.random.default_rng([draw, per_class]))
    if some is None:
        return None
    X, y, X_test, y_test = some
    folds = LabeledFold(StratifiedKFold(min(5, per_class), shuffle=True, random_state=draw))
    tested = [model.fit(X, y).score(X_test, y_test) for model in candidates().values()]
    by_folds = [cross_val_score(model, X, y, cv=folds).mean() for model in candidates().values()]
    return tested, by_folds


def choice_rows(name, of, n_draws):
    for per_class in PER_CLASS:
        found = [accuracies(of, per_class, draw) for draw in range(n_draws)]
        if None in found:
            continue
        tested, by_folds = np.array(found).swapaxes(0, 1)  # (n_draws, n_candidates) each
        change = tested - tested[:, :1]
        every = np.arange(n_draws)
        of_all = change[every, by_folds.argmax(1)]
        of_two = np.where(by_folds[:, 3] > by_folds[:, 0], change[:, 3], 0)
        means = " | ".join(f"{value:+.3f}" for value in change.mean(0)[1:])
        print(
            f"| {name} | {per_class} | {tested[:, 0].mean():.3f} | {means} | {of_all.mean():+.3f} | "
            f"{of_all.min():+.3f} | {of_two.mean():+.3f} | {change.max(1).mean():+.3f} |",
            flush=True,
        )


def teacher_rows(name, student, teacher, y, n_draws):
    for per_class in (4, 10, 20):
        leads = []
        for draw in range(n_draws):
            order = np.random.default_rng([draw, per_class, 1]).permutation(len(y))
            rows = np.concatenate([order[y[order] == c][:per_class] for c in np.unique(y)])
            one, other = (score_by_folds(of[rows], y[rows], draw) for of in (teacher, student))
            leads.append(one - other)
        shares = " | ".join(f"{np.mean(np.array(leads) > margin):.2f}" for margin in MARGINS)
        print(f"| {name} | {per_class} | {np.mean(leads):+.3f} | {shares} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--draws", type=int, default=20)
    options = parser.parse_args()
    nets = networks(options.data)
    print("| set | labels a class | frozen | square root | neighbours | self-training | chosen | worst draw | "
          "chosen of two | best of each draw |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|---|", flush=True)
    for name, (X, y) in photographs(options.data):
        choice_rows(name, (nets["mobilenet_v2"].fit_transform(X), y), options.draws)
    pairs = {}
    for name, (X, y, X_test, y_test) in arrays(options.data):
        for network in ("tiny", "mobilenet_v2, 96 px"):
            made = nets[network].fit_transform(X)
            pairs.setdefault(name, []).append(made)
            if (name, network) != ("MNIST-M", "mobilenet_v2, 96 px"):
                of = (made, y, nets[network].transform(X_test), y_test)
                choice_rows(f"{name}, {network}", of, options.draws)
    print(
        "\n| set | labels a class | lead of the teacher | " + " | ".join(map(str, MARGINS)) + " |"
    )
    print("|---|---|---|" + "---|" * len(MARGINS), flush=True)
    labels = {name: y for name, (_, y, _, _) in arrays(options.data)}
    for name, (student, teacher) in pairs.items():
        teacher_rows(name, student, teacher, labels[name], 2 * options.draws)


if __name__ == "__main__":
    main()

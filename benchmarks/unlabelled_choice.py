"""Can folds of a few labelled images choose what to do with images without labels?

    python benchmarks/unlabelled_choice.py --data ../shared/data
    python benchmarks/unlabelled_choice.py --data ../shared/data --distilled CIFAR-10 photographs

Frozen vectors of one network a set; labels are drawn anew for each of `--draws`, and up to 1,500 other images of the
training part have none. Four candidates are scored on the test part: features as they are, their square root,
neighbours, self-training of neighbours. Then folds of the labelled images choose, by the highest mean as
`compare_strategies` does, among all four and among the first and the last. Changes are against features as they are.
Last, by the same labels: how often does a teacher, mobilenet_v2 at 96 px, count as better than `tiny`?

`--distilled` has two candidates more, with `tiny` as the network of each set that is named: what it has learned from
mobilenet_v2, and that beside its features as they were. One distillation by all images of the training part, and by
none of the test part, serves five draws of labels; three times, each time with other parts. Where images are folders
of photographs the teacher sees 224 px, elsewhere 96. Folds choose among all, as `compare_strategies` does, and, again,
without the two where the teacher is refused by the rule of `DistilledFeatureTransformer`.
"""

from __future__ import annotations

import argparse
from itertools import product
from operator import itemgetter
from pathlib import Path

import numpy as np
from joblib import Memory
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from sktransfer import (
    DeepFeatureTransformer,
    DistilledFeatureTransformer,
    LabeledClassifier,
    LabeledFold,
    NeighborSelfTrainingClassifier,
    NeighborSmoother,
)
from sktransfer.folders import load_class_folders
from sktransfer.unlabelled import SquareRootTransformer
from sktransfer.unlabelled.teacher_check import BETTER_BY, score_by_folds

PER_CLASS = (4, 10, 100)
MARGINS = (0, 0.01, 0.02, 0.03, 0.05)


def head():
    return LabeledClassifier(LogisticRegression(C=0.01, max_iter=2000))


def candidates():
    return {
        "frozen": make_pipeline(StandardScaler(), head()),
        "square root": make_pipeline(SquareRootTransformer(), StandardScaler(), head()),
        "neighbours": make_pipeline(NeighborSmoother(), StandardScaler(), head()),
        "self-training": NeighborSelfTrainingClassifier(),
    }


def candidates_with_distilled(n_frozen):
    """Make all candidates for rows that have features as they are first, and those of the student behind them."""
    first, last = (
        FunctionTransformer(itemgetter((slice(None), columns)))
        for columns in (slice(n_frozen), slice(n_frozen, None))
    )
    return {name: make_pipeline(first, model) for name, model in candidates().items()} | {
        "distilled": make_pipeline(last, StandardScaler(), head()),
        "frozen beside distilled": make_pipeline(StandardScaler(), head()),
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


def accuracies(some, models, per_class, draw):
    """Score all candidates on the test part, and by folds of the labelled rows."""
    X, y, X_test, y_test = some
    folds = LabeledFold(StratifiedKFold(min(5, per_class), shuffle=True, random_state=draw))
    tested = [model.fit(X, y).score(X_test, y_test) for model in models.values()]
    by_folds = [cross_val_score(model, X, y, cv=folds).mean() for model in models.values()]
    return tested, by_folds


def choice_rows(name, of, n_draws):
    for per_class in PER_CLASS:
        some = [drawn(of, per_class, np.random.default_rng([d, per_class])) for d in range(n_draws)]
        if None in some:
            continue
        found = [accuracies(each, candidates(), per_class, d) for d, each in enumerate(some)]
        print_row(name, per_class, *np.array(found).swapaxes(0, 1))


def print_row(name, per_class, tested, by_folds, refused=None):
    """Print what candidates and choices change; arrays are of shape (n_draws, n_candidates)."""
    change = tested - tested[:, :1]
    chosen = [choice(change, by_folds)]
    if refused is not None:
        last_two = np.arange(change.shape[1]) >= change.shape[1] - 2
        chosen.append(choice(change, np.where(refused[:, None] & last_two, -1, by_folds)))
    of_two = choice(change[:, [0, 3]], by_folds[:, [0, 3]])
    cells = [name, per_class, f"{tested[:, 0].mean():.3f}"]
    cells += [f"{value:+.3f}" for value in change.mean(0)[1:]]
    cells += [f"{value:+.3f}" for each in chosen for value in (each.mean(), each.min())]
    cells += [f"{of_two.mean():+.3f}", f"{change.max(1).mean():+.3f}"]
    cells += [] if refused is None else [f"{refused.mean():.2f}"]
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def choice(change, by_folds):
    """Give the change by the candidate with the highest mean over the folds; of equals, the first."""
    return change[np.arange(len(change)), by_folds.argmax(1)]


def one_distillation(data, name, seed, n_draws):
    """Give, for each number of labels a class and each draw of them: accuracies, and if the teacher is refused."""
    of = dict([*arrays(data), *photographs(data)])[name]
    teacher = networks(data)["mobilenet_v2, 96 px" if len(of) == 4 else "mobilenet_v2"]
    X, y, X_test, y_test = parts(of, seed)
    teacher.set_params(cache="memory")
    student = DistilledFeatureTransformer(
        "tiny", teacher=teacher, check_teacher=False, random_state=seed, cache="memory"
    ).fit(X)
    tiny = networks(data)["tiny"].fit(X)
    frozen, better = tiny.transform(X), teacher.fit_transform(X)
    both = np.hstack([frozen, student.transform(X)])
    both_test = np.hstack([tiny.transform(X_test), student.transform(X_test)])
    found = {per_class: [] for per_class in PER_CLASS}
    for per_class, draw in product(PER_CLASS, range(n_draws)):
        rng = np.random.default_rng([seed, draw, per_class])
        some = drawn((np.arange(len(X)), y, both_test, y_test), per_class, rng, len(X))
        if some is None:
            continue
        rows, labels, *test = some
        models = candidates_with_distilled(frozen.shape[1])
        scores = accuracies((both[rows], labels, *test), models, per_class, draw)
        few = labels >= 0
        of_teacher, of_student = (
            score_by_folds(vectors[rows[few]], labels[few], seed) for vectors in (better, frozen)
        )
        found[per_class].append((*scores, of_teacher - of_student <= BETTER_BY))
    return found


def distilled_rows(name, options):
    once = Memory(options.kept, verbose=0).cache(one_distillation)
    of_seeds = [once(options.data, name, seed, options.label_draws) for seed in options.seeds]
    for per_class in PER_CLASS:
        draws = [draw for found in of_seeds for draw in found[per_class]]
        if draws:
            print_row(name, per_class, *map(np.array, zip(*draws, strict=True)))


def parts(of, seed, n_train=2000):
    """Give training and test part; those of folders of photographs are other ones with each seed."""
    X, y, *test = of
    order = np.random.default_rng(seed).permutation(len(X))
    if test:
        return X[order[:n_train]], y[order[:n_train]], *test
    cut = int(0.6 * len(X))
    return X[order[:cut]], y[order[:cut]], X[order[cut:]], y[order[cut:]]


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


def frozen_tables(options):
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


def distilled_table(options):
    print("| set | labels a class | frozen | square root | neighbours | self-training | distilled | beside | "
          "chosen | worst draw | chosen after refusal | worst draw | chosen of two | best of each draw | "
          "refused |")  # fmt: skip
    print("|" + "---|" * 15, flush=True)
    for name in options.distilled:
        distilled_rows(name, options)


def main():
    names = ["photographs", "cartoons", "hymenoptera", "CIFAR-10", "MNIST-M"]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--distilled", nargs="+", choices=names, metavar="SET", help=f"{names}")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of distillations")
    parser.add_argument("--label-draws", type=int, default=5, help="with each distillation")
    parser.add_argument("--kept", type=Path, help="folder of what is known of a distillation")
    options = parser.parse_args()
    if options.distilled:
        distilled_table(options)
    else:
        frozen_tables(options)


if __name__ == "__main__":
    main()

"""How much does one lose by taking the advice, and do the intervals hold what they promise?

    python benchmarks/advice.py --data ... --cache features --out advice.json

From each set, 10, 30 and 100 images a class are drawn, five times. `compare_strategies` and `recommend_strategy` see
only these; then each candidate's best setting is fitted on all of them and scored on images that took no part: of a
folder all others, otherwise `--test` of the same part of the set, because its test part may differ (that of USPS is
harder). The regret of an advice is the accuracy of the best candidate there less that of the advised one; the best of
several is lucky too, so the regret against the candidate that is best on average over the draws is given beside it. An
interval of `results_` covers if that accuracy lies in it. To be affordable, the forest is compared up to `--forest`
images a class and what trains `tiny` up to `--tuned`; what is recommended is trained once in any case. `scratch`
is left out. Every draw is written when it ends, and a call that finds it in `--out` goes on with the next.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from reporting import machine, print_table
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from sktransfer import (
    DeepFeatureTransformer,
    FineTuneClassifier,
    Recommendation,
    compare_strategies,
    recommend_strategy,
)
from sktransfer.folders import load_class_folders
from sktransfer.standings import advised

if TYPE_CHECKING:
    from collections.abc import Iterator

CHEAP = [
    "raw pixels + logistic regression",
    "features + logistic regression",
    "features + SVM",
]
TRAINED = ["frozen", "partial", "full"]
RECOMMENDED = "recommended"


class Task(NamedTuple):
    """Images of one set, and the network that is used on it."""

    name: str
    X: Any
    y: np.ndarray
    test: tuple[Any, np.ndarray] | None  # None: all images that are not drawn
    network: dict[str, Any]


class Draw(NamedTuple):
    """Images to learn from, and those to be scored on."""

    X: Any
    y: np.ndarray
    X_test: Any
    y_test: np.ndarray


def tasks(data: Path, n_test: int) -> Iterator[Task]:
    """Give small pictures to `tiny`, and photographs and cartoons to MobileNetV2."""
    for name, file in (
        ("USPS", "digits/usps"),
        ("MNIST", "digits/mnist"),
        ("MNIST-M", "digits/mnistm"),
        ("CIFAR-10", "cifar10/cifar10_small"),
    ):
        of = np.load(data / f"{file}.npz")
        order = np.random.default_rng(0).permutation(len(of["y_train"]))
        X, y = of["x_train"][order], of["y_train"][order]
        test = X[:n_test], y[:n_test]
        yield Task(name, X[n_test:], y[n_test:], test, {"backbone": "tiny"})
    weights = data / "weights" / "mobilenet_v2.safetensors"
    mobilenet = {"backbone": "mobilenet_v2", "weights": weights}
    parts = [load_class_folders(data / "hymenoptera" / part) for part in ("train", "val")]
    X, y = (np.concatenate(both) for both in zip(*parts, strict=True))
    yield Task("ants and bees", X, y, None, mobilenet)
    for name in ("photo", "cartoon"):
        X, y = load_class_folders(data / "pictures" / name)
        yield Task(f"{name}s", X, y, None, mobilenet)


def drawn(task: Task, per_class: int, number: int) -> Draw | None:
    """Draw so many images of each class; None if that leaves no ten of each to be scored on."""
    order = np.random.default_rng([number, per_class]).permutation(len(task.y))
    of_classes = [order[task.y[order] == label] for label in np.unique(task.y)]
    if min(map(len, of_classes)) < per_class + (10 if task.test is None else 0):
        return None
    rows = np.concatenate([of_one[:per_class] for of_one in of_classes])
    others = np.setdiff1d(order, rows)
    test = (task.X[others], task.y[others]) if task.test is None else task.test
    return Draw(task.X[rows], task.y[rows], *test)


def names_of(task: Task, per_class: int, options: argparse.Namespace) -> list[str]:
    """Name the candidates that are compared."""
    forest = ["features + random forest"] if per_class <= options.forest else []
    is_small = task.network["backbone"] == "tiny"
    trained = TRAINED if is_small and per_class <= options.tuned else []
    return [*CHEAP, *forest, *trained]


def study(
    task: Task, draw: Draw, per_class: int, number: int, options: argparse.Namespace
) -> dict[str, Any]:
    """Ask for advice on one draw, and score all candidates on images that took no part."""
    start = time.perf_counter()
    shared = task.network | {"cache": str(options.cache), "random_state": number}
    compared = compare_strategies(
        draw.X, draw.y, candidates=names_of(task, per_class, options),
        layers=options.layers, max_epochs=options.max_epochs, n_jobs=1, **shared,
    )  # fmt: skip
    candidates = compared.results_[compared.results_["strategy"] != "largest class"]
    rows = candidates.to_dict("records")
    for row in rows:
        model = clone(compared.searches_[row["candidate"]].estimator).set_params(
            **row["best_params"]
        )
        row["test"] = tested(model, draw)
        row["fold_scores"] = compared.fold_scores_[row["candidate"]].tolist()
    advice = recommend_strategy(draw.X, draw.y, **shared)
    return {
        "set": task.name,
        "per_class": per_class,
        "draw": number,
        "n_test": len(draw.y_test),
        "candidates": rows,
        "optimism": compared.optimism_,
        RECOMMENDED: {
            "strategy": advice.strategy,
            "layers": advice.layers,
            "pooling": advice.pooling,
            "n_trainable": advice.n_trainable,
            "test": tested(followed(advice, shared, options.max_epochs), draw),
            "figures": advice.figures,
            "probes": advice.probes.to_dict("records"),
        },
        "seconds": time.perf_counter() - start,
    }


def tested(model: Any, draw: Draw) -> float:
    return float(model.fit(draw.X, draw.y).score(draw.X_test, draw.y_test))


def followed(advice: Recommendation, shared: dict[str, Any], max_epochs: int) -> Any:
    """Do as recommended: a trained network as it comes, or a linear classifier whose C folds choose."""
    if advice.strategy != "frozen":
        return FineTuneClassifier(
            strategy=advice.strategy, n_trainable=max(1, advice.n_trainable),
            pooling=advice.pooling, max_epochs=max_epochs, **shared,
        )  # fmt: skip
    features = DeepFeatureTransformer(layers=list(advice.layers), pooling=advice.pooling, **shared)
    head = LogisticRegression(max_iter=2000)
    steps = [("features", features), ("scale", StandardScaler()), ("head", head)]
    folds = StratifiedKFold(5, shuffle=True, random_state=shared["random_state"])
    return GridSearchCV(Pipeline(steps), {"head__C": [0.001, 0.01, 0.1]}, cv=folds)


def tests_of(draw: dict[str, Any]) -> dict[str, float]:
    return {row["candidate"]: row["test"] for row in draw["candidates"]}


def regrets(draws: list[dict[str, Any]]) -> pd.DataFrame:
    """List the regret of each draw: against the best there, and against the best on average of its cell."""
    rows = []
    frame = pd.DataFrame(draws)
    for (name, per_class), cell in frame.groupby(["set", "per_class"], sort=False):
        records = cell.to_dict("records")
        compared = pd.DataFrame(map(tests_of, records))
        both = compared.assign(**{RECOMMENDED: [of[RECOMMENDED]["test"] for of in records]})
        choices = [advised(pd.DataFrame(of["candidates"])) for of in records]
        for who, tests, taken in (
            ("compare", compared, choices),
            ("recommend", both, [RECOMMENDED] * len(records)),
        ):
            leader = tests.mean().idxmax()
            for (_, test), one in zip(tests.iterrows(), taken, strict=True):
                rows.append({
                    "set": name, "per_class": per_class, "who": who, "leader": leader,
                    "accuracy": test[one], "regret": test.max() - test[one],
                    "on average": test[leader] - test[one],
                })  # fmt: skip
    return pd.DataFrame(rows)


def coverage(draws: list[dict[str, Any]]) -> pd.DataFrame:
    """List for each draw and complete candidate whether its interval holds what it reaches on other images."""
    return pd.DataFrame(
        [
            {
                "set": draw["set"],
                "per_class": draw["per_class"],
                "many": draw["n_test"] >= 1000,
                "advised": row["candidate"] == advised(pd.DataFrame(draw["candidates"])),
                "covers": row["score_low"] <= row["test"] <= row["score_high"],
                "below": row["score_high"] < row["test"],
                "above": row["test"] < row["score_low"],
                "bias": row["score_mean"] - row["test"],
            }
            for draw in draws
            for row in draw["candidates"]
            if not row["note"]
        ]
    )


def report(draws: list[dict[str, Any]]) -> None:
    """Print regret and coverage of every cell, and over all of them."""
    lost, intervals = regrets(draws), coverage(draws)
    table = []
    for (name, per_class), cell in lost.groupby(["set", "per_class"], sort=False):
        here = intervals[(intervals["set"] == name) & (intervals["per_class"] == per_class)]
        of_advised = here[here["advised"]]
        row = {"set": name, "images a class": per_class, "draws": len(cell) // 2}
        for who, of_one in cell.groupby("who"):
            row |= {
                f"{who}: accuracy": of_one["accuracy"].mean(),
                f"{who}: regret (worst)": f"{of_one['regret'].mean():.3f} ({of_one['regret'].max():.3f})",
            }
        row["best on average"] = cell["leader"].iloc[-1]
        row["advised, all intervals that cover"] = ", ".join(
            f"{part['covers'].sum()} of {len(part)}" for part in (of_advised, here)
        )
        table.append(row)
    print_table(table)
    print()
    columns = ["regret", "on average"]
    cells = lost.groupby(["who", "set", "per_class"])[columns].mean()
    print_table(
        [
            {
                "advice of": who,
                "draws": len(of_one),
                "regret, mean": of_one["regret"].mean(),
                "worst cell": cells.loc[who]["regret"].max(),
                "worst draw": of_one["regret"].max(),
                "against the best on average, mean": of_one["on average"].mean(),
                "worst cell of these": cells.loc[who]["on average"].max(),
            }
            for who, of_one in lost.groupby("who")
        ]
    )
    print()
    many, of_advised = intervals["many"], intervals["advised"]
    parts = {
        "advised, 1,000 test images or more": intervals[many & of_advised],
        "advised, fewer": intervals[~many & of_advised],
        "all candidates, 1,000 or more": intervals[many],
        "all candidates, fewer": intervals[~many],
    }
    print_table(
        [
            {
                "intervals": name,
                "number": len(part),
                "cover": part["covers"].mean(),
                "lie below": part["below"].mean(),
                "lie above": part["above"].mean(),
                "score less accuracy": part["bias"].mean(),
            }
            for name, part in parts.items()
            if len(part)
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with the sets")
    parser.add_argument("--cache", type=Path, required=True, help="folder for features")
    parser.add_argument("--out", type=Path, required=True, help="JSON, written after each draw")
    parser.add_argument("--sets", nargs="+", metavar="NAME", help="only these; default: all")
    parser.add_argument("--per-class", type=int, nargs="+", default=[10, 30, 100])
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--test", type=int, default=2000)
    parser.add_argument("--forest", type=int, default=100)
    parser.add_argument("--tuned", type=int, default=30)
    parser.add_argument(
        "--layers", type=int, nargs="+", help="searched; default: as users get them"
    )
    parser.add_argument("--max-epochs", type=int, default=7)
    parser.add_argument("--minutes", type=float, default=60, help="no draw begins after these")
    options = parser.parse_args()
    end = time.time() + 60 * options.minutes
    draws = json.loads(options.out.read_text())["draws"] if options.out.exists() else []
    done = {(of["set"], of["per_class"], of["draw"]) for of in draws}
    chosen = [
        task
        for task in tasks(options.data, options.test)
        if options.sets is None or task.name in options.sets
    ]
    every = itertools.product(range(options.draws), options.per_class, chosen)
    for number, per_class, task in every:  # the first draws of all cells first
        draw = drawn(task, per_class, number)
        if draw is None or (task.name, per_class, number) in done or time.time() > end:
            continue
        draws.append(study(task, draw, per_class, number, options))
        write(options.out, {"machine": machine(), "settings": vars(options), "draws": draws})
        tell(draws[-1])
    report(draws)
    print(f"\n{machine()}")


def write(out: Path, content: dict[str, Any]) -> None:
    part = out.with_suffix(".part")
    part.write_text(json.dumps(content, indent=1, default=str), encoding="utf-8")
    part.replace(out)


def tell(draw: dict[str, Any]) -> None:
    tests, recommended = tests_of(draw), draw[RECOMMENDED]
    best, taken = max(tests, key=tests.__getitem__), advised(pd.DataFrame(draw["candidates"]))
    print(
        f"{draw['set']}, {draw['per_class']} a class, draw {draw['draw']}: best {best} {tests[best]:.3f}; "
        f"advised {taken} {tests[taken]:.3f}; recommended {recommended['strategy']} "
        f"{recommended['test']:.3f}; {draw['seconds']:.0f} s",
        flush=True,
    )


if __name__ == "__main__":
    main()

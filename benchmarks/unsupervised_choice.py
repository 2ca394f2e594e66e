"""How well do criteria that see no label of the target choose among adapted models?

    python benchmarks/unsupervised_choice.py --only blobs moons moons-clockwise bundled
    python benchmarks/unsupervised_choice.py --only photo-cartoon cartoon-photo --data ... --weights ... --seeds 0

All settings of a grid are fitted to seven tenths of the source and of the unlabelled target. Each criterion of
`UnsupervisedScorer` scores them on the rest, as it would in a search, and chooses one. The table has the accuracy on
the target of what was chosen, the mean over the seeds; beside it the mean of all settings, which is what a choice by
lot gets, and the best of them, which only labels of the target would find. The pairs of photographs and cartoons
need `--data`, the folder of these two, and `--weights` of MobileNetV2; a third of each domain is left out of the
search, of the target to score on.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from domain_adaptation import MAKERS, Task
from PIL import Image
from reporting import print_table, save
from sklearn.model_selection import ParameterGrid, train_test_split

from sktransfer import DANNClassifier, UnsupervisedScorer
from sktransfer.adaptation.scorers import METHODS
from sktransfer.exceptions import TrainingWarning
from sktransfer.folders import load_class_folders

BICUBIC = Image.Resampling.BICUBIC
PAIRS = ("photo-cartoon", "cartoon-photo")

ROWS = {"bottleneck": 64, "domain_head": (64,), "lr": 0.01, "max_epochs": 100}
ROWS_GRID = [
    {"batch_norm": [None, "joint", "per_domain"], "lambda_max": [0.0]},
    {
        "batch_norm": [None, "joint", "per_domain"],
        "lambda_max": [0.3, 1.0],
        "entropy_weight": [0.0, 1.0],
    },
]
PICTURES = {"image_size": 128, "unlabeled": "?", "cache": "memory"}
PICTURES_GRID = {"strategy": ["frozen", "partial", "full"], "lambda_max": [0.0, 0.1, 0.3, 1.0]}
IMAGES = {"max_epochs": 10, "strategy": "partial"}
IMAGES_GRID = {"batch_norm": ["joint", "separate"], "lambda_max": [0.0, 0.1, 0.3, 1.0]}


def pictures(seed: int, data: Path, source: str, target: str) -> Task:
    """Two thirds of two folders of classes to search on, and a third of the target to score on."""
    parts = []
    for name in (source, target):
        paths, y = load_class_folders(data / name)
        images = [Image.open(path).convert("RGB").resize((128, 128), BICUBIC) for path in paths]
        parts.append(
            train_test_split(
                np.stack([np.asarray(image) for image in images]), y,
                test_size=1 / 3, stratify=y, random_state=seed,
            )
        )  # fmt: skip
    (X, _, y, _), (X_target, X_test, y_target, y_test) = parts
    return Task(X, y, X_target, y_target, X_test, y_test, "mobilenet_v2", {})


def make_task(name: str, seed: int, data: Path) -> Task:
    """Make a task by its name."""
    if name in PAIRS:
        return pictures(seed, data, *name.split("-"))
    return MAKERS[name](seed, Path())


def fit_all(
    task: Task, seed: int, scorers: dict[str, UnsupervisedScorer], args: argparse.Namespace
) -> dict[str, list[float]]:
    """Return the accuracy of each setting on the target, and its score by each criterion."""
    settings, grid = (ROWS, ROWS_GRID) if task.network is None else (IMAGES, IMAGES_GRID)
    if task.network == "mobilenet_v2":
        settings, grid = {**PICTURES, "weights": args.weights}, PICTURES_GRID
    if args.epochs is not None:
        settings = {**settings, "max_epochs": args.epochs}
    source, source_rest, y, y_rest = train_test_split(
        task.X_source, task.y_source, test_size=0.3, stratify=task.y_source, random_state=seed
    )
    target, target_rest = train_test_split(task.X_target, test_size=0.3, random_state=seed)
    X = np.concatenate([source_rest, target_rest])
    marked = np.concatenate([y_rest, np.full(len(target_rest), settings.get("unlabeled", -1))])
    found: dict[str, list[float]] = {name: [] for name in ("accuracy", *scorers)}
    for chosen in ParameterGrid(grid):
        model = DANNClassifier(task.network, **settings, **chosen, random_state=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", TrainingWarning)
            model.fit(source, y, X_target=target)
            for name, scorer in scorers.items():
                found[name].append(scorer(model, X, marked))
        found["accuracy"].append(model.score(task.X_test, task.y_test))
    return found


def run(name: str, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Let each criterion choose on one task."""
    scorers = {method: UnsupervisedScorer(method) for method in args.methods}
    runs = [fit_all(make_task(name, seed, args.data), seed, scorers, args) for seed in args.seeds]

    def row(how: str, accuracies: list[float]) -> dict[str, Any]:
        return {
            "task": name,
            "chosen by": how,
            "target mean": float(np.mean(accuracies)),
            "least": float(np.min(accuracies)),
            "seeds": len(runs),
            "settings": len(runs[0]["accuracy"]),
        }

    rows = [row("lot", [float(np.mean(found["accuracy"])) for found in runs])]
    for method in args.methods:
        best = [int(np.argmax(found[method])) for found in runs]
        rows.append(row(method, [runs[i]["accuracy"][k] for i, k in enumerate(best)]))
    return [*rows, row("labels of the target", [max(found["accuracy"]) for found in runs])]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    tasks = ("blobs", "moons", "moons-clockwise", "bundled")
    parser.add_argument("--only", nargs="+", choices=(*tasks, *PAIRS), default=tasks)
    parser.add_argument("--data", type=Path, default=Path("data/pictures"))
    parser.add_argument("--weights", default="default")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, help="in place of those of the task")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    rows = [row for name in args.only for row in run(name, args)]
    print_table(rows)
    settings = {name: value for name, value in vars(args).items() if name not in ("out", "data")}
    save(args.out, rows, **settings)


if __name__ == "__main__":
    main()

"""How accurate, how fast and how frugal is fine-tuning?

    python benchmarks/finetuning.py --only accuracy --data photographs --weights mobilenet_v2.safetensors
    python benchmarks/finetuning.py --only cifar --data cifar10_small.npz
    python benchmarks/finetuning.py --only speed
    python benchmarks/finetuning.py --only memory

`accuracy`: MobileNetV2 on a folder with train/CLASS and val/CLASS, each strategy with its defaults, and
the textbooks' two phases (head alone, then everything at 1e-5). `cifar`: `tiny` on a part of CIFAR-10 in
a .npz file with x_train, y_train, x_test and y_test. `speed`: against hand-written loops of PyTorch, on
images in memory, in turn within one run. `memory`: resident memory over 20 fits in one process.
"""

from __future__ import annotations

import argparse
import copy
import gc
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from reporting import in_turn, print_table, save
from torch import nn

from sktransfer import DeepFeatureTransformer, FineTuneClassifier
from sktransfer.backbones import load_backbone
from sktransfer.features.device import candidate_precisions
from sktransfer.folders import load_class_folders

if TYPE_CHECKING:
    from collections.abc import Callable

STRATEGIES = ("frozen", "partial", "full", "scratch")
BATCH = 32


def accuracy(options: argparse.Namespace) -> list[dict[str, Any]]:
    X, y = load_class_folders(options.data / "train")
    X_val, y_val = load_class_folders(options.data / "val")
    makers: dict[str, Callable[[int], FineTuneClassifier]] = {
        name: lambda seed, name=name: FineTuneClassifier(
            "mobilenet_v2", weights=str(options.weights), strategy=name, random_state=seed
        ).fit(X, y)
        for name in options.strategies
    }
    if "two phases" in options.strategies:
        makers["two phases"] = lambda seed: two_phases(options.weights, seed, X, y)
    return [_trials(name, make, X_val, y_val, options.seeds) for name, make in makers.items()]


def two_phases(weights: Path, seed: int, X: Any, y: Any) -> FineTuneClassifier:
    """Train the head on the frozen network, then everything at a very low rate."""
    model = FineTuneClassifier(
        "mobilenet_v2", weights=str(weights), strategy="frozen", optimizer="adam", lr=1e-3,
        schedule="constant", max_epochs=20, early_stopping=False, warm_start=True, random_state=seed,
    ).fit(X, y)  # fmt: skip
    model.set_params(strategy="full", lr=1e-5, backbone_lr=1e-5, max_epochs=10, augmentation=None)
    return model.fit(X, y)


def cifar(options: argparse.Namespace) -> list[dict[str, Any]]:
    with np.load(options.data) as data:
        X, y = data["x_train"], data["y_train"].ravel()
        X_test, y_test = data["x_test"], data["y_test"].ravel()
    chosen = np.concatenate(
        [np.flatnonzero(y == label)[: options.per_class] for label in np.unique(y)]
    )

    def make(name: str) -> Callable[[int], FineTuneClassifier]:
        return lambda seed: FineTuneClassifier("tiny", strategy=name, random_state=seed).fit(
            X[chosen], y[chosen]
        )

    return [_trials(name, make(name), X_test, y_test, options.seeds) for name in options.strategies]


def _trials(
    name: str, make: Callable[[int], FineTuneClassifier], X: Any, y: Any, seeds: list[int]
) -> dict[str, Any]:
    scores, epochs, seconds = [], [], []
    for seed in seeds:
        start = time.process_time()
        model = make(seed)
        seconds.append(time.process_time() - start)
        scores.append(float(model.score(X, y)))
        epochs.append(model.n_iter_)
        print(f"{name}, seed {seed}: {scores[-1]:.4f} after {epochs[-1]} epochs", flush=True)
    return {
        "strategy": name,
        "accuracy, mean": f"{statistics.mean(scores):.4f}",
        "accuracies": " ".join(f"{score:.4f}" for score in scores),
        "epochs": " ".join(map(str, epochs)),
        "seconds of processor a fit": f"{statistics.mean(seconds):.0f}",
    }


def speed(options: argparse.Namespace) -> list[dict[str, Any]]:
    rows = [frozen_speed(options)]
    for network in options.networks:
        rows.append(partial_speed(network, options))
        rows.append(full_speed(network, options))
    overheads = (step_overhead(*steps, options) for steps in (("frozen", 100), ("full", 3)))
    return [*rows, *overheads]


def frozen_speed(options: argparse.Namespace) -> dict[str, Any]:
    X, y = _images(2 * options.images)
    network = options.networks[0]
    features = DeepFeatureTransformer(network, weights="random", random_state=0, cache=None)
    model = _model(network, "frozen")
    contestants = {
        "one extraction": lambda epochs: features.transform(X),  # noqa: ARG005 - it has none
        "ours": lambda epochs: model.set_params(max_epochs=epochs).fit(X, y),
    }
    return _row(f"frozen, {network}", contestants, 20, options.rounds)


def partial_speed(network: str, options: argparse.Namespace) -> dict[str, Any]:
    X, y = _images(options.images)
    model = _model(network, "partial")
    contestants = {
        "plain float32": lambda epochs: hand_written(network, X, y, epochs, "partial", plain=True),
        "ours": lambda epochs: model.set_params(max_epochs=epochs).fit(X, y),
    }
    return _row(f"partial, last stage of {network}", contestants, options.epochs, options.rounds)


def full_speed(network: str, options: argparse.Namespace) -> dict[str, Any]:
    X, y = _images(options.images)
    model = _model(network, "full")
    contestants = {
        "plain float32": lambda epochs: hand_written(network, X, y, epochs, "full", plain=True),
        "best by hand": lambda epochs: hand_written(network, X, y, epochs, "full", plain=False),
        "ours": lambda epochs: model.set_params(max_epochs=epochs).fit(X, y),
    }
    return _row(f"full, {network}", contestants, options.full_epochs, options.rounds)


def _model(network: str, strategy: str) -> FineTuneClassifier:
    return FineTuneClassifier(
        network, weights="random", strategy=strategy, random_state=0, cache=None,
        early_stopping=False, augmentation=None,
    )  # fmt: skip


def hand_written(network: str, X: Any, y: Any, epochs: int, strategy: str, *, plain: bool) -> None:
    """Train as a tutorial does; or with channels last, half precision and a fused optimiser."""
    loaded = load_backbone(network, "random", random_state=0)
    module = copy.deepcopy(loaded.module)
    model = nn.Sequential(loaded.spec.sequence(module), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    model.append(nn.Linear(loaded.spec.widths[-1], 10))
    tail = loaded.spec.sequence(module, start=len(loaded.spec.stages) - 1)
    trained = tail if strategy == "partial" else model[0]
    trained.requires_grad_(True)
    half = not plain and "bfloat16" in candidate_precisions("auto", torch.device("cpu"))
    if not plain:
        model.to(memory_format=torch.channels_last)
    model.train()
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.eval()
    weights = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=1e-4, fused=None if plain else True)
    for _ in range(epochs):
        order = torch.randperm(len(X))
        for rows in order.split(BATCH):
            pixels = torch.from_numpy(X[rows.numpy()])
            if plain:
                batch = (pixels.permute(0, 3, 1, 2).float() / 255 - 0.45) / 0.225
                batch = batch.contiguous()
            else:
                batch = loaded.preprocessing.normalize(pixels)
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                scores = model(batch)
            loss = F.cross_entropy(scores.float(), torch.from_numpy(y[rows.numpy()]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def step_overhead(strategy: str, epochs: int, options: argparse.Namespace) -> dict[str, Any]:
    """Compare steps of `tiny` with those of a bare loop over the same network and batches."""
    X, y = _images(options.images, 64)
    model = FineTuneClassifier(
        "tiny", strategy=strategy, max_epochs=epochs, random_state=0, early_stopping=False,
        augmentation=None, schedule="constant",
    ).fit(X, y)  # fmt: skip
    net, inputs = model.net_, _inputs(model, X)
    targets = torch.eye(int(y.max()) + 1)[torch.from_numpy(y)]
    network = net.module_.train()
    half = net.precision == "bfloat16"
    rows = _rows_of(inputs.numpy(), targets.numpy())

    def bare() -> None:
        for _ in range(epochs):
            for part in torch.randperm(len(inputs)).split(BATCH):
                with torch.autocast("cpu", torch.bfloat16, enabled=half):
                    scores = network(inputs[part])
                loss = F.cross_entropy(scores, targets[part])
                net.optimizer_.zero_grad()
                loss.backward()
                net.optimizer_.step()

    contestants = {"bare loop": bare, "ours": lambda: net.fit_loop(rows, epochs=epochs)}
    n_steps = epochs * -(-len(X) // BATCH)
    seconds = in_turn(contestants, options.rounds)
    per_step = {name: 1000 * value / n_steps for name, value in seconds.items()}
    return {
        "what": f"a step of tiny, {strategy}",
        "ours": f"{per_step['ours']:.2f} ms",
        "against": f"bare loop {per_step['bare loop']:.2f} ms",
        "ratio": f"{per_step['ours'] - per_step['bare loop']:.2f} ms more",
    }


def _inputs(model: FineTuneClassifier, X: Any) -> torch.Tensor:
    if model.trunk_ == "vectors":
        return torch.from_numpy(model.transform(X))
    return torch.from_numpy(X)


def _rows_of(inputs: Any, targets: Any) -> Any:
    from sktransfer.training.batches import TrainingRows

    n_rows = len(inputs)
    return TrainingRows([inputs], np.arange(n_rows), targets, np.ones(n_rows, np.float32))


def memory(options: argparse.Namespace) -> list[dict[str, Any]]:
    X, y = _images(options.images, 64)
    gpu = torch.cuda.is_available()
    rows = []
    for strategy in STRATEGIES:
        taken = []
        for seed in range(options.fits):
            model = FineTuneClassifier("tiny", strategy=strategy, max_epochs=1, random_state=seed)
            model.fit(X, y).predict(X[:40])
            del model
            gc.collect()
            taken.append(torch.cuda.memory_allocated() if gpu else _resident_bytes())
        rows.append(
            {
                "strategy": strategy,
                "of": "GPU" if gpu else "process",
                "after 5 fits, MiB": taken[min(4, len(taken) - 1)] // 2**20,
                f"after {options.fits} fits, MiB": taken[-1] // 2**20,
            }
        )
    return rows


def _resident_bytes() -> int:
    fields = Path("/proc/self/statm").read_text(encoding="ascii").split()
    return int(fields[1]) * 4096


def _images(n_images: int, side: int = 224) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    X = rng.integers(0, 256, (n_images, side, side, 3), np.uint8)
    return X, np.arange(n_images) % 10


def _row(
    what: str, contestants: dict[str, Callable[[int], Any]], epochs: int, n_rounds: int
) -> dict[str, Any]:
    """Run each for one epoch to warm up, then all in turn for all epochs."""
    taken: dict[str, list[float]] = {name: [] for name in contestants}
    for run in contestants.values():
        run(1)
    for _ in range(n_rounds):
        for name, run in contestants.items():
            start = time.perf_counter()
            run(epochs)
            taken[name].append(time.perf_counter() - start)
    seconds = {name: statistics.median(times) for name, times in taken.items()}
    ours = seconds.pop("ours")
    return {
        "what": f"{what}, {epochs} epochs",
        "ours": f"{ours:.2f} s",
        "against": ", ".join(f"{name} {value:.2f} s" for name, value in seconds.items()),
        "ratio": ", ".join(f"{value / ours:.2f}x" for value in seconds.values()),
    }


SECTIONS = {"accuracy": accuracy, "cifar": cifar, "speed": speed, "memory": memory}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", choices=SECTIONS, required=True)
    parser.add_argument("--data", type=Path, help="a folder, or for cifar a .npz file")
    parser.add_argument("--weights", type=Path, help="of mobilenet_v2, for accuracy")
    parser.add_argument("--strategies", nargs="+", default=[*STRATEGIES])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--per-class", type=int, default=100, help="images of CIFAR-10 to train on")
    parser.add_argument("--networks", nargs="+", default=["resnet18", "mobilenet_v2"])
    parser.add_argument("--images", type=int, default=96, help="for speed and memory")
    parser.add_argument("--epochs", type=int, default=10, help="of the partial part of speed")
    parser.add_argument("--full-epochs", type=int, default=6, help="of the full part of speed")
    parser.add_argument("--rounds", type=int, default=1, help="for speed")
    parser.add_argument("--fits", type=int, default=20, help="for memory")
    parser.add_argument("--out", type=Path, help="write the figures to this JSON file")
    options = parser.parse_args()
    rows = SECTIONS[options.only](options)
    print_table(rows)
    save(
        options.out,
        rows,
        **{key: str(value) for key, value in vars(options).items() if key != "out"},
    )


if __name__ == "__main__":
    main()

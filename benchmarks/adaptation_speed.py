"""What does a step of `DANNClassifier` cost against a hand-written step of PyTorch?

    python benchmarks/adaptation_speed.py

The same network, batches of the same size, the same optimiser, precision and clipping; images are random bytes in
memory. A step of ours is the difference between a longer and a shorter training, so that what comes before the first
epoch and after the last is left out.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from reporting import print_table, save
from torch import nn

from sktransfer import DANNClassifier
from sktransfer.backbones import load_backbone

EPOCHS = (1, 4)


def hand_written(
    network: str, images: tuple[np.ndarray, np.ndarray], y: np.ndarray, epochs: int, batch: int
) -> None:
    """Train as a careful user of PyTorch would: channels last, a fused optimiser, one pass for both halves."""
    loaded = load_backbone(network, "random", random_state=0)
    width = loaded.spec.widths[-1] * 4 * 4
    body = nn.Sequential(loaded.spec.sequence(loaded.module), nn.Flatten(), nn.Linear(width, 256),
                         nn.BatchNorm1d(256), nn.ReLU())  # fmt: skip
    label = nn.Sequential(nn.Dropout(0.5), nn.Linear(256, 10))
    domain = nn.Sequential(nn.Linear(256, 100), nn.ReLU(), nn.Linear(100, 1))
    body.requires_grad_(True).to(memory_format=torch.channels_last).train()
    others = [*body.parameters(), *label.parameters()]
    optimizer = torch.optim.AdamW([*others, *domain.parameters()], lr=1e-3, fused=True)
    told = torch.repeat_interleave(torch.tensor([0.0, 1.0]), batch)
    n_images = len(y)
    n_steps = epochs * (n_images // batch)
    step = 0
    for _ in range(epochs):
        orders = torch.randperm(n_images), torch.randperm(n_images)
        for rows in zip(*(order.split(batch) for order in orders), strict=True):
            strength = 2 / (1 + math.exp(-10 * step / n_steps)) - 1
            pixels = torch.cat(
                [torch.from_numpy(part[own]) for part, own in zip(images, rows, strict=True)]
            )
            hidden = body(loaded.preprocessing.normalize(pixels))
            reversed_ = (1 + strength) * hidden.detach() - strength * hidden
            logits = domain(reversed_)[:, 0]
            loss = F.cross_entropy(label(hidden)[:batch], torch.from_numpy(y[rows[0]]))
            loss = loss + 2 * F.binary_cross_entropy_with_logits(logits, told)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(others, 1.0)
            nn.utils.clip_grad_norm_(domain.parameters(), 1.0)
            optimizer.step()
            step += 1


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--network", default="digits28")
    parser.add_argument("--batch-size", type=int, default=64, help="of each domain")
    parser.add_argument("--images", type=int, default=2048, help="of each domain")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, help="write the figures to this JSON file")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    images = tuple(rng.integers(0, 256, (options.images, 28, 28, 3), np.uint8) for _ in range(2))
    y = np.arange(options.images) % 10

    def ours(algorithm: str) -> Any:
        model = DANNClassifier(
            options.network, strategy="scratch", pooling="flatten", algorithm=algorithm,
            domain_head=(100,), batch_norm="joint", batch_size=options.batch_size,
            precision="float32", random_state=0,
        )  # fmt: skip
        return lambda epochs: model.set_params(max_epochs=epochs).fit(
            images[0], y, X_target=images[1]
        )

    contestants = {
        "hand-written, reversal": lambda epochs: hand_written(
            options.network, images, y, epochs, options.batch_size
        ),
        "ours, reversal": ours("reversal"),
        "ours, alternating": ours("alternating"),
    }
    taken: dict[str, list[float]] = {name: [] for name in contestants}
    n_steps = (EPOCHS[1] - EPOCHS[0]) * (options.images // options.batch_size)
    for run in contestants.values():
        run(1)
    for _ in range(options.rounds):
        for name, run in contestants.items():
            marks = [time.perf_counter()]
            for epochs in EPOCHS:
                run(epochs)
                marks.append(time.perf_counter())
            taken[name].append((marks[2] - 2 * marks[1] + marks[0]) / n_steps)
    seconds = {name: statistics.median(values) for name, values in taken.items()}
    first = next(iter(seconds.values()))
    rows = [
        {"step": name, "ms": 1000 * value, "times the hand-written": value / first}
        for name, value in seconds.items()
    ]
    print_table(rows)
    save(options.out, rows, **{k: v for k, v in vars(options).items() if k != "out"})


if __name__ == "__main__":
    main()

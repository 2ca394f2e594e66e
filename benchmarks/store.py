"""What does the store cost, what does it save, and does it survive being killed?

    python benchmarks/store.py

Cold and warm `transform`; the cost of a store in a cold run, of hashing and storing alone and with the pooling
of all stages that fills it, beside `cache=None`, in turn; readers
side by side on one folder; and two writers on one folder of which one is killed at random moments.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from reporting import in_turn, print_table, save

from sktransfer import DeepFeatureTransformer
from sktransfer.backbones import get_backbone
from sktransfer.features.store import Record, content_key, open_store
from sktransfer.features.taps import kept_slots


def photographs(n_images: int, side: int = 224, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n_images, side, side, 3), np.uint8)


def transformer(network: str, cache: str | None) -> DeepFeatureTransformer:
    return DeepFeatureTransformer(network, weights="random", random_state=0, cache=cache)


def cold_and_warm(network: str, X: np.ndarray, cache: str) -> dict[str, Any]:
    """Transform twice: the second time everything is found."""
    features = transformer(network, cache).fit(X)
    features.clear_cache()
    transformer(network, None).fit(X).transform(X[:32])
    start = time.perf_counter()
    cold_rows = features.transform(X)
    cold = time.perf_counter() - start
    times = []
    for _ in range(5):
        start = time.perf_counter()
        warm_rows = features.transform(X)
        times.append(time.perf_counter() - start)
    assert np.array_equal(cold_rows, warm_rows)
    warm = sorted(times)[len(times) // 2]
    kind = "memory" if cache == "memory" else "folder"
    mib = features.cache_info().bytes / 2**20
    features.clear_cache()
    return {"network": network, "store": kind, "images": len(X), "cold s": cold, "warm s": warm,
            "times faster": cold / warm, "MiB": mib}  # fmt: skip


def cost(network: str, X: np.ndarray, folder: str, n_rounds: int) -> dict[str, Any]:
    """Cold runs with and without a store, in turn."""
    kinds = {"nothing kept": None, "memory": "memory", "folder": folder}
    features = {name: transformer(network, cache).fit(X) for name, cache in kinds.items()}

    def run(name: str) -> None:
        features[name].clear_cache()
        features[name].transform(X)

    seconds = in_turn({name: lambda name=name: run(name) for name in kinds}, n_rounds)
    row: dict[str, Any] = {
        "network": network,
        "images": len(X),
        "nothing kept s": seconds["nothing kept"],
    }
    kept = kept_slots(get_backbone(network), features["memory"].plan_.slots)
    width = sum(slot.width for slot in kept)
    vectors = np.random.default_rng(0).random((len(X), width)).astype(np.float32)
    for name in ("memory", "folder"):
        handling = in_turn({name: partial(handle, X, vectors, kinds[name])}, n_rounds)[name]
        row[f"{name}: hashing and storing"] = f"{handling / seconds['nothing kept']:+.2%}"
        row[f"{name}: with the pooling of all stages"] = (
            f"{seconds[name] / seconds['nothing kept'] - 1:+.1%}"
        )
    return row


def handle(X: np.ndarray, vectors: np.ndarray, cache: str) -> None:
    """What a cold run does beside computing: hash the images, look them up in vain, keep their vectors."""
    store = open_store(cache)
    assert store is not None
    store.clear()
    for start in range(0, len(X), 32):
        keys = [content_key(image) for image in X[start : start + 32]]
        assert store.get_many(keys) == [None] * len(keys)
        store.put_many(keys, [Record(v.copy(), 0.0) for v in vectors[start : start + 32]])


def readers(network: str, X: np.ndarray, folder: str, n_readers: int) -> dict[str, Any]:
    """Processes that find everything in one folder, all at once."""
    transformer(network, folder).fit_transform(X)
    code = (
        "import sys, time; import store; X = store.photographs(int(sys.argv[1]));"
        "t = store.transformer(sys.argv[2], sys.argv[3]).fit(X); start = time.perf_counter(); t.transform(X);"
        "print(time.perf_counter() - start, t.cache_info().misses)"
    )
    command = [sys.executable, "-c", code, str(len(X)), network, folder]
    here = Path(__file__).parent
    running = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=here)
        for _ in range(n_readers)
    ]
    answers = [process.communicate()[0].split() for process in running]
    return {"readers at once": n_readers, "images each": len(X), "slowest s": max(float(a[0]) for a in answers),
            "misses": sum(int(a[1]) for a in answers)}  # fmt: skip


def write_all(folder: str, n_images: int, shift: int) -> None:
    """Extract the features of many small images into a folder, a thousand at a time."""
    features = DeepFeatureTransformer(
        "tiny", image_size=32, cache=folder, precision="float32", batch_size=128
    )
    for start in range(0, n_images, 1000):
        features.transform(small_images(min(1000, n_images - start), shift + start))


def small_images(n_images: int, first: int) -> np.ndarray:
    """Images that differ from number to number and are the same in every process."""
    numbers = np.arange(first, first + n_images, dtype=np.uint32)
    pixels = (
        numbers[:, None] * np.uint32(2654435761)
        + np.arange(16 * 16 * 3, dtype=np.uint32) * np.uint32(40503)
    ) >> 13
    return pixels.astype(np.uint8).reshape(n_images, 16, 16, 3)


def killed_writers(folder: str, n_images: int, n_kills: int) -> dict[str, Any]:
    """Two processes write 10,000 images each, half of them the same; one is killed again and again."""

    def start(shift: int) -> subprocess.Popen[str]:
        work = f"store.write_all({folder!r}, {n_images}, {shift})"
        code = f"import store; print('ready', flush=True); {work}; print('done')"
        return subprocess.Popen(
            [sys.executable, "-c", code],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parent,
        )

    rng = np.random.default_rng(0)
    steady = start(0)
    for _ in range(n_kills):
        victim = start(n_images // 2)
        assert victim.stdout is not None
        victim.stdout.readline()
        time.sleep(rng.uniform(0.5, 4))
        os.kill(victim.pid, signal.SIGKILL)
        victim.communicate()
    finished = "done" in steady.communicate()[0]
    last = start(n_images // 2)
    finished &= "done" in last.communicate()[0]
    kept = DeepFeatureTransformer("tiny", image_size=32, cache=folder, precision="float32")
    fresh = DeepFeatureTransformer(
        "tiny", image_size=32, cache=None, precision="float32", batch_size=128
    )
    wrong = 0
    total = n_images + n_images // 2
    for first in range(0, total, 1000):
        X = small_images(min(1000, total - first), first)
        wrong += int(
            (
                ~np.isclose(kept.transform(X), fresh.transform(X), rtol=1e-4, atol=1e-5).all(axis=1)
            ).sum()
        )
    info = kept.cache_info()
    return {"images each": n_images, "kills": n_kills, "both finished": finished, "rows lost": info.misses,
            "rows wrong": wrong, "rows compared": total}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--images", type=int, default=1000, help="of the cold and warm runs")
    parser.add_argument("--cost-images", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument(
        "--written", type=int, default=10_000, help="images that each of the two writers stores"
    )
    parser.add_argument("--only", choices=["warm", "cost", "readers", "kills"])
    parser.add_argument("--out", type=Path, help="write the figures to this JSON file")
    options = parser.parse_args()
    torch.manual_seed(0)
    rows: list[dict[str, Any]] = []

    def report(title: str, found: list[dict[str, Any]]) -> None:
        print(f"\n{title}:\n")
        print_table(found)
        rows.extend(found)

    with tempfile.TemporaryDirectory() as folder:
        X = photographs(options.images)
        if options.only in (None, "warm"):
            report(
                "Cold and warm",
                [cold_and_warm("resnet50", X, cache) for cache in ("memory", f"{folder}/warm")],
            )
        if options.only in (None, "cost"):
            some = X[: options.cost_images]
            report("Cost in a cold run", [
                cost("resnet50", some, f"{folder}/cost", options.rounds),
                cost("mobilenet_v3_small", X[: 4 * options.cost_images], f"{folder}/cost", options.rounds),
            ])  # fmt: skip
        if options.only in (None, "readers"):
            report(
                "Readers", [readers("resnet18", X[:256], f"{folder}/read", n) for n in (1, 2, 4)]
            )
        if options.only in (None, "kills"):
            report(
                "Killed writers", [killed_writers(f"{folder}/kill", options.written, options.kills)]
            )
    save(options.out, rows, images=options.images, rounds=options.rounds)


if __name__ == "__main__":
    main()

"""What the benchmarks share: rounds in turn, a Markdown table, JSON, and the machine's name."""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import sklearn
import torch
import torchvision

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

Key = TypeVar("Key")


def in_turn(
    contestants: Mapping[Key, Callable[[], object]],
    n_rounds: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[Key, float]:
    """Run each once to warm up, then all in turn; return the median seconds of each.

    What else the machine does then burdens all of them, so that ratios hold. `time.process_time` as a clock leaves
    out what other programs take.
    """
    for run in contestants.values():
        run()
    seconds: dict[Key, list[float]] = {name: [] for name in contestants}
    for _ in range(n_rounds):
        for name, run in contestants.items():
            start = clock()
            run()
            seconds[name].append(clock() - start)
    return {name: statistics.median(times) for name, times in seconds.items()}


def bfloat16_rate(
    clock: Callable[[], float] = time.perf_counter, side: int = 3072, n_products: int = 6
) -> float:
    """Measure the operations a second of a product of two square bfloat16 matrices, at best."""
    a, b = (torch.randn(side, side).bfloat16() for _ in range(2))
    a @ b
    best = 0.0
    for _ in range(n_products):
        start = clock()
        a @ b
        best = max(best, 2 * side**3 / (clock() - start))
    return best


def print_table(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print rows, mappings with the same keys, as Markdown."""
    columns = list(rows[0])
    print("| " + " | ".join(columns) + " |")
    print("|" + "---|" * len(columns))
    for row in rows:
        print("| " + " | ".join(_text(row[column]) for column in columns) + " |", flush=True)


def save(out: Path | None, rows: Sequence[Mapping[str, Any]], **settings: Any) -> None:
    """Write rows, settings and machine to a JSON file, if one is named."""
    print(f"\n{machine()}")
    if out is not None:
        content = {"machine": machine(), "settings": settings, "rows": list(rows)}
        out.write_text(json.dumps(content, indent=1, default=str), encoding="utf-8")


def machine() -> str:
    """Name processor, cores and versions."""
    return (
        f"{processor()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads; Python "
        f"{platform.python_version()}, torch {torch.__version__}, torchvision "
        f"{torchvision.__version__}, scikit-learn {sklearn.__version__}."
    )


def processor() -> str:
    """Read the name of the processor, and what it computes natively in half precision."""
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return platform.processor() or platform.machine()
    lines = dict(
        (part.strip() for part in line.split(":", 1))
        for line in info.read_text().splitlines()
        if ":" in line
    )
    halves = [
        flag
        for flag in ("avx512_bf16", "avx512_fp16", "amx_bf16")
        if flag in lines.get("flags", "")
    ]
    return f"{lines.get('model name', platform.machine())} ({', '.join(halves) or 'no half precision'})"


def _text(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)

"""Does the memory that extraction takes depend on the number of images?

    python benchmarks/memory.py

Peak resident memory of a process of its own, from paths of JPEG files, the array of features aside.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from reporting import print_table, save

N_FILES = 500


def measure(folder: str, n_images: int, cache: str | None) -> None:
    """Print the peak in bytes without the features."""
    from sktransfer import DeepFeatureTransformer

    paths = [f"{folder}/{i % N_FILES}.jpg" for i in range(n_images)]
    found = DeepFeatureTransformer("tiny", cache=cache).fit(paths).transform(paths)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - found.nbytes)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--numbers", type=int, nargs="+", default=[2_000, 20_000])
    parser.add_argument("--out", type=Path, help="write the figures to this JSON file")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for i in range(N_FILES):
            small = Image.fromarray(rng.integers(0, 256, (12, 16, 3), np.uint8))
            small.resize((320, 240), Image.Resampling.BICUBIC).save(f"{folder}/{i}.jpg")
        for cache in (None, f"{folder}/store"):
            peaks = []
            for n_images in options.numbers:
                code = f"import memory; memory.measure({folder!r}, {n_images}, {cache!r})"
                done = subprocess.run(
                    [sys.executable, "-c", code],
                    capture_output=True,
                    text=True,
                    check=True,
                    cwd=Path(__file__).parent,
                )
                peaks.append(int(done.stdout))
            rows.append(
                {
                    "store": "none" if cache is None else "folder",
                    **{
                        f"{n} images, MiB": peak // 2**20
                        for n, peak in zip(options.numbers, peaks, strict=True)
                    },
                    "times": peaks[-1] / peaks[0],
                }
            )
    print_table(rows)
    save(options.out, rows, files=N_FILES)


if __name__ == "__main__":
    main()

"""Does the memory that extraction and segmentation take depend on the number of images?

    python benchmarks/memory.py
    python benchmarks/memory.py --only segmentation --numbers 200 2000

Peak resident memory of a process of its own, from paths of JPEG files, and of PNG files of masks; the
array of features, or predicted masks, aside. Training of masks keeps 16 MiB in memory, and the rest in
a file.
"""

from __future__ import annotations

import argparse
import os
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


def measure_masks(folder: str, n_images: int, strategy: str) -> None:
    """Print the peak of a fit and a prediction in bytes without the masks."""
    from sktransfer import FineTuneSegmenter

    paths = [f"{folder}/{i % N_FILES}.jpg" for i in range(n_images)]
    masks = [f"{folder}/{i % N_FILES}.png" for i in range(n_images)]
    model = FineTuneSegmenter(
        "tiny", strategy=strategy, max_epochs=1, early_stopping=False, image_size=64, cache=None
    )
    found = model.fit(paths, masks).predict(paths)
    taken = sum(mask.nbytes for mask in found)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - taken)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", choices=["extraction", "segmentation"], default="extraction")
    parser.add_argument("--numbers", type=int, nargs="+", default=[2_000, 20_000])
    parser.add_argument("--out", type=Path, help="write the figures to this JSON file")
    options = parser.parse_args()
    segments = options.only == "segmentation"
    ways = ("frozen", "full") if segments else (None, "store")
    rng = np.random.default_rng(0)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for i in range(N_FILES):
            small = Image.fromarray(rng.integers(0, 256, (12, 16, 3), np.uint8))
            small.resize((320, 240), Image.Resampling.BICUBIC).save(f"{folder}/{i}.jpg")
            mask = Image.fromarray(rng.integers(0, 3, (12, 16), np.uint8))
            mask.resize((320, 240), Image.Resampling.NEAREST).save(f"{folder}/{i}.png")
        for way in ways:
            how = f"{folder}/store" if way == "store" else way
            function = "measure_masks" if segments else "measure"
            peaks = []
            for n_images in options.numbers:
                code = f"import memory; memory.{function}({folder!r}, {n_images}, {how!r})"
                done = subprocess.run(
                    [sys.executable, "-c", code],
                    capture_output=True,
                    text=True,
                    check=True,
                    cwd=Path(__file__).parent,
                    env={**os.environ, "SKTRANSFER_TRAINING_BYTES": str(2**24)},
                )
                peaks.append(int(done.stdout))
            first = "strategy" if segments else "store"
            rows.append(
                {
                    first: {None: "none", "store": "folder"}.get(way, way),
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

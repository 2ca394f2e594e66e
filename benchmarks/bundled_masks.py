"""How well does the small bundled network label the bundled masks? Frozen and from scratch, in CI's time.

Run as ``python benchmarks/bundled_masks.py --image-size 128``. Three quarters train, the rest is scored.
"""

import argparse
import time

from sktransfer import FineTuneSegmenter
from sktransfer.datasets import load_digit_masks


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--strategies", nargs="+", default=["frozen", "scratch"])
    parser.add_argument("--image-size", type=int)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    data = load_digit_masks()
    n_train = len(data.X) * 3 // 4
    for strategy in options.strategies:
        model = FineTuneSegmenter(
            "tiny",
            strategy=strategy,
            head="fpn",
            max_epochs=options.epochs,
            lr=1e-2,
            batch_size=4,
            early_stopping=False,
            image_size=options.image_size,
            random_state=options.seed,
        )
        start = time.process_time()
        score = model.fit(data.X[:n_train], data.y[:n_train]).score(
            data.X[n_train:], data.y[n_train:]
        )
        print(f"{strategy}: mIoU {score:.3f}, {time.process_time() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()

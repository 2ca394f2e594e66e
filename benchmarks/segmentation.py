"""How well do frozen and tuned networks label the pixels of street scenes? CamVid, test split.

Run as ``python benchmarks/segmentation.py --data DATA --weights WEIGHTS --epochs 7``, where DATA holds
train, trainannot, test and testannot. Validation is one clip, so nothing is chosen by it.
"""

import argparse
import time
from pathlib import Path

from sktransfer import FineTuneSegmenter, MaskScorer, PixelClassifier

CAR, UNLABELED = 8, 11


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--backbone", default="mobilenet_v2")
    parser.add_argument("--settings", nargs="+", default=["pixels", "frozen-fpn"])
    parser.add_argument("--epochs", type=int, default=7)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    X, y = read(options.data, "train")
    X_test, y_test = read(options.data, "test")
    for setting in options.settings:
        start = time.process_time()
        model = make(setting, options).fit(X, y)
        minutes = (time.process_time() - start) / 60
        masks = model.predict(X_test)
        scorer = MaskScorer(unlabeled=UNLABELED)
        car = scorer.scores_by_label(y_test, masks)[CAR]
        print(
            f"{setting}: mIoU {scorer.measure(y_test, masks):.3f}, car {car:.3f}, {minutes:.1f} core-minutes"
        )


def make(setting, options):
    network = {"weights": options.weights, "unlabeled": UNLABELED, "random_state": options.seed}
    if setting == "pixels":
        return PixelClassifier(backbone=options.backbone, **network)
    strategy, head = setting.split("-")
    return FineTuneSegmenter(
        options.backbone,
        strategy=strategy,
        head=head,
        max_epochs=options.epochs,
        early_stopping=False,
        **network,
    )


def read(folder, part):
    images = sorted((folder / part).glob("*.jpg"))
    return images, [folder / f"{part}annot" / f"{path.stem}.png" for path in images]


if __name__ == "__main__":
    main()

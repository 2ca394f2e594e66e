"""How well do frozen and tuned networks label the pixels of street scenes? CamVid, test split.

Run as ``python benchmarks/segmentation.py --data DATA --weights WEIGHTS --epochs 7``, where DATA holds
train, trainannot, test and testannot. Validation is one clip, so nothing is chosen by it.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.ensemble import RandomForestClassifier

from sktransfer import FineTuneSegmenter, MaskScorer, PixelClassifier, find_regions

CAR, UNLABELED = 8, 11
SMALLEST_CAR = 200  # pixels of a component that counts as a car


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--backbone", default="mobilenet_v2")
    parser.add_argument("--settings", nargs="+", default=["pixels", "frozen-fpn"])
    parser.add_argument("--epochs", type=int, default=7)
    parser.add_argument("--size", nargs=2, type=int, help="height and width; as they are without")
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
            f"{setting}, seed {options.seed}: mIoU {scorer.measure(y_test, masks):.3f}, car {car:.3f}, "
            f"F1 of cars' boxes {f1_of_boxes(y_test, masks):.3f}, {minutes:.1f} core-minutes",
            flush=True,
        )


def make(setting, options):
    network = {"weights": options.weights, "unlabeled": UNLABELED, "random_state": options.seed}
    if setting == "pixels":
        return PixelClassifier(backbone=options.backbone, **network)
    if setting == "hand-made":
        forest = RandomForestClassifier(
            100, min_samples_leaf=3, random_state=options.seed, n_jobs=1
        )
        return PixelClassifier(
            forest, backbone=None, unlabeled=UNLABELED, random_state=options.seed
        )
    strategy, head = setting.split("-")
    return FineTuneSegmenter(
        options.backbone,
        strategy=strategy,
        head=head,
        max_epochs=options.epochs,
        early_stopping=False,
        image_size=options.size and tuple(options.size),
        **network,
    )


def f1_of_boxes(masks, predicted):
    """F1 of boxes around the components of cars; one is found if a predicted box has an IoU of .5."""
    true, found = (
        find_regions(list(some), labels=[CAR], min_pixels=SMALLEST_CAR)
        for some in ([np.asarray(Image.open(path)) for path in masks], predicted)
    )
    hits = 0
    for image, boxes in found.groupby("image"):
        free = true[true["image"] == image].to_dict("records")
        for box in boxes.sort_values("area", ascending=False).to_dict("records"):
            best = max(free, key=lambda other: iou(box, other), default=None)
            if best is not None and iou(box, best) >= 0.5:
                hits += 1
                free.remove(best)
    return 2 * hits / max(1, len(true) + len(found))


def iou(one, other):
    height = min(one["bottom"], other["bottom"]) - max(one["top"], other["top"])
    width = min(one["right"], other["right"]) - max(one["left"], other["left"])
    both = max(0, height) * max(0, width)
    areas = [(b["bottom"] - b["top"]) * (b["right"] - b["left"]) for b in (one, other)]
    return both / (sum(areas) - both)


def read(folder, part):
    images = sorted((folder / part).glob("*.jpg"))
    return images, [folder / f"{part}annot" / f"{path.stem}.png" for path in images]


if __name__ == "__main__":
    main()

"""How well do frozen and tuned networks label the pixels of street scenes? CamVid, test split.

Run as ``python benchmarks/segmentation.py --data DATA --weights WEIGHTS --epochs 7``, where DATA holds
train, trainannot, test and testannot. Validation is one clip, so nothing is chosen by it: what is
chosen is scored on the frames of one recording of the training images, ``--score-on 0006R0``, that are
then left out of the fit. With ``--out RESULTS`` figures and predicted masks are kept there, a file for each
setting, and what is there is not computed again.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import binary_opening
from sklearn.ensemble import RandomForestClassifier

from sktransfer import FineTuneSegmenter, MaskScorer, PixelClassifier, find_regions

CAR, UNLABELED = 8, 11
SMALLEST_CAR = 200  # pixels of a component that counts as a car
BRIDGE = 5  # half the width in pixels of bridges that are cut; chosen on the recording 0006R0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--backbone", default="mobilenet_v2")
    parser.add_argument("--settings", nargs="+", default=["pixels", "frozen-fpn"])
    parser.add_argument("--epochs", type=int, default=7)
    parser.add_argument("--size", nargs=2, type=int, help="height and width; as they are without")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--every", type=int, default=1, help="train on every tenth image, if 10")
    parser.add_argument("--score-on", metavar="RECORDING", help="in place of the test images")
    parser.add_argument("--out", type=Path, help="folder of results")
    options = parser.parse_args()
    for setting in options.settings:
        name = name_of(setting, options)
        file = options.out and options.out / f"{name}.json"
        if file and file.exists():
            figures = json.loads(file.read_text(encoding="utf-8"))
        else:
            figures = measured(name, setting, options)
        print(name, figures, flush=True)
        if file:
            file.write_text(json.dumps(figures, indent=1), encoding="utf-8")


def name_of(setting, options):
    parts = [setting, options.backbone, f"{options.epochs} epochs", f"seed {options.seed}"]
    if options.size:
        parts.append("x".join(map(str, options.size)))
    if options.every > 1:
        parts.append(f"every {options.every}th image")
    if options.score_on:
        parts.append(f"scored on {options.score_on}")
    return ", ".join(parts)


def measured(name, setting, options):
    """Fit, predict, score; masks are kept, so that scores can be computed again."""
    train, test = splits(options)
    start = time.process_time()
    model = make(setting, options).fit(*train)
    minutes = (time.process_time() - start) / 60
    masks = model.predict(test[0])
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(options.out / f"{name}.npz", np.stack(list(masks)).astype(np.uint8))
    scorer = MaskScorer(unlabeled=UNLABELED)
    labels = scorer.scores_by_label(test[1], masks)
    return {
        "miou": round(scorer.measure(test[1], masks), 4),
        "car": round(labels[CAR], 4),
        "boxes": round(f1_of_boxes(test[1], masks), 4),
        "boxes, opened": round(f1_of_boxes(test[1], [opened(mask) for mask in masks]), 4),
        "minutes": round(minutes, 2),
        "labels": {int(label): round(value, 3) for label, value in labels.items()},
    }


def splits(options):
    """Images and masks to train on, and those to score on."""
    X, y = read(options.data, "train")
    if options.score_on is None:
        return (X[:: options.every], y[:: options.every]), read(options.data, "test")
    scored = [path.name.startswith(options.score_on) for path in X]
    train, test = (
        [
            [path for path, is_scored in zip(paths, scored, strict=True) if is_scored == wanted]
            for paths in (X, y)
        ]
        for wanted in (False, True)
    )
    return ([part[:: options.every] for part in train]), test


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
    """F1 of boxes around the components of cars; one is found if a predicted box has an IoU of .5.

    Pixels that are unlabelled in the truth belong to no box.
    """
    truth = [np.asarray(Image.open(path)) for path in masks]
    known = [np.where(t == UNLABELED, t, p) for t, p in zip(truth, predicted, strict=True)]
    true, found = (
        find_regions(some, labels=[CAR], min_pixels=SMALLEST_CAR) for some in (truth, known)
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


def opened(mask):
    """Cut the thin bridges between cars, whose pixels become unlabelled."""
    cars = binary_opening(mask == CAR, iterations=BRIDGE)
    return np.where((mask == CAR) & ~cars, UNLABELED, mask)


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

"""Does the audit find planted duplicates and flipped labels, and only these?

    python benchmarks/audit.py --data DATA --weights WEIGHTS

To each collection, copies of some images are added in five guises, and 5 % of the labels are flipped. Pairs that are
found but were not planted count as false, although some collections have near duplicates of their own. DATA holds
hymenoptera/train/{ants,bees} and cifar10/cifar10_small.npz, WEIGHTS mobilenet_v2.safetensors; what is not there is
left out, and scikit-learn's digits are always there.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageEnhance
from reporting import print_table, save

from sktransfer import audit_images
from sktransfer.datasets import load_digit_images
from sktransfer.folders import load_class_folders


def as_jpeg(image: Image.Image) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=50)
    return Image.open(io.BytesIO(file.getvalue())).convert("RGB")


def cropped(image: Image.Image) -> Image.Image:
    w, h = image.size
    return image.crop((round(0.05 * w), round(0.05 * h), round(0.97 * w), round(0.97 * h)))


GUISES = {
    "same pixels": lambda image: image.copy(),
    "JPEG 50": as_jpeg,
    "half size": lambda image: image.resize((image.width // 2, image.height // 2)),
    "15 % brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.15),
    "5 % cropped": cropped,
    "mirrored": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
}


def collections(data: Path, n: int) -> dict[str, tuple[list[Image.Image], np.ndarray]]:
    found: dict[str, tuple[list[Image.Image], np.ndarray]] = {}
    if (data / "hymenoptera").exists():
        paths, y = load_class_folders(data / "hymenoptera" / "train")
        found["hymenoptera"] = [Image.open(path).convert("RGB") for path in paths], y
    if (data / "cifar10").exists():
        cifar = np.load(data / "cifar10" / "cifar10_small.npz")
        images = [Image.fromarray(pixels) for pixels in cifar["x_train"][:n]]
        found["CIFAR-10"] = images, cifar["y_train"][:n]
    X, y = load_digit_images(return_X_y=True)
    found["digits"] = [Image.fromarray(pixels).convert("RGB") for pixels in X[:n]], y[:n]
    return found


def planted(
    images: list[Image.Image], y: np.ndarray, n_copies: int, backbone: str, weights: str
) -> dict[str, Any]:
    """Plant, audit, and count what was found."""
    rng = np.random.default_rng(0)
    n, row = len(images), {}
    origins = rng.choice(n, n_copies * len(GUISES), replace=False).reshape(len(GUISES), -1)
    copies = [
        make(images[i]) for make, rows in zip(GUISES.values(), origins, strict=True) for i in rows
    ]
    audit = audit_images([*images, *copies], backbone=backbone, weights=weights)
    groups = audit["group"].to_numpy()
    row["threshold"] = audit.attrs["near_threshold"]
    for k, guise in enumerate(GUISES):
        rows = n + k * n_copies + np.arange(n_copies)
        row[guise] = float(np.mean(groups[rows] == groups[origins[k]]))
    row["false pairs"] = int(np.sum(groups[:n] != np.arange(n)))

    classes, codes = np.unique(y, return_inverse=True)
    flipped = rng.choice(n, n // 20, replace=False)
    given = codes.copy()
    given[flipped] = (given[flipped] + rng.integers(1, len(classes), len(flipped))) % len(classes)
    audit = audit_images(images, given, backbone=backbone, weights=weights)
    suspects = np.flatnonzero(audit["suspect_label"])
    hits = np.intersect1d(suspects, flipped)
    right = audit["suggested_label"].to_numpy()[hits] == codes[hits]
    row["flipped"] = len(flipped)
    row["found"] = len(hits)
    row["suspected"] = len(suspects)
    row["rightly corrected"] = int(right.sum())
    return row


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--weights", type=Path, default=Path("data/weights"))
    parser.add_argument("--images", type=int, default=1000, help="at most, of each collection")
    parser.add_argument("--copies", type=int, default=30, help="of each guise")
    parser.add_argument("--out", type=Path, help="write the figures to this JSON file")
    options = parser.parse_args()
    networks = {"tiny": "default"}
    if (options.weights / "mobilenet_v2.safetensors").exists():
        networks["mobilenet_v2"] = str(options.weights / "mobilenet_v2.safetensors")
    rows = []
    for name, (images, y) in collections(options.data, options.images).items():
        for backbone, weights in networks.items():
            found = planted(images, y, options.copies, backbone, weights)
            rows.append({"images": f"{name} ({len(y)})", "network": backbone, **found})
    print_table(rows)
    save(options.out, rows, images=options.images, copies=options.copies)


if __name__ == "__main__":
    main()

"""How near does ONNX Runtime come to the package, how fast is it, and how large are the files?

    python benchmarks/export.py [--photographs FOLDER]

Pixels of photographs of 30 sizes, resized in the graph and by Pillow; features of networks of torchvision
and timm under all poolings; heads of scikit-learn; segmenters; images per second of the whole graph beside its
network alone; seconds and bytes of an export.
Photographs are drawn with the 1/f spectrum of real ones if no folder is given.
"""

from __future__ import annotations

import argparse
import itertools
import pickle
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
from PIL import Image
from reporting import in_turn, print_table, save
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC

from sktransfer import DeepFeatureTransformer, FineTuneSegmenter, PixelClassifier, export_onnx
from sktransfer.datasets import load_digit_images, load_digit_masks
from sktransfer.export.drawn_images import draw_images
from sktransfer.export.exportable import take_apart
from sktransfer.export.network_graph import network_graph
from sktransfer.export.pixel_graph import pixel_graph
from sktransfer.folders import list_images
from sktransfer.preprocessing import Preprocessing

if TYPE_CHECKING:
    from collections.abc import Iterable

NETWORKS = (
    "resnet18", "resnet50", "mobilenet_v3_small", "efficientnet_b0", "densenet121", "convnext_tiny", "vgg11",
    "squeezenet1_1", "regnet_y_400mf", "vit_b_16", "timm:vit_tiny_patch16_224", "timm:resnet26",
    "timm:mobilenetv3_small_100", "timm:efficientnet_lite0", "timm:convnext_atto",
)  # fmt: skip
FAMILIES = (
    "resnet18", "mobilenet_v3_small", "efficientnet_b0", "densenet121", "vgg11", "squeezenet1_1",
    "regnet_y_400mf", "timm:convnext_atto", "timm:vit_tiny_patch16_224",
)  # fmt: skip
POOLINGS = ("avg", "max", "avgmax", "gem", "flatten")
HEADS = (
    LogisticRegression(max_iter=1000), LinearSVC(), SVC(), RandomForestClassifier(100, random_state=0),
    HistGradientBoostingClassifier(max_iter=30, random_state=0), Ridge(),
)  # fmt: skip
TABLES = ("pixels", "networks", "poolings", "heads", "segmenters", "throughput")
DECODERS = ("fcn32s", "fcn16s", "fcn8s", "deconv", "fpn", "unet")
PIXEL_HEADS = {
    "scaled logistic regression": None,
    "LogisticRegression": LogisticRegression(max_iter=1000),
    "RandomForestClassifier": RandomForestClassifier(30, random_state=0),
}  # fmt: skip


def session_of(graph: Any) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    data = str(graph) if isinstance(graph, Path) else graph.SerializeToString()
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def photographs(folder: Path | None, n_images: int = 200, n_sizes: int = 30) -> list[np.ndarray]:
    """Read or draw photographs, brought to sizes of which a third each is wide, tall and square."""
    rng = np.random.default_rng(0)
    shapes = [
        (int(side * tall), int(side * wide))
        for side, (tall, wide) in zip(
            rng.integers(120, 700, n_sizes),
            [(1, 1.33), (1.33, 1), (1, 1)] * (n_sizes // 3),
            strict=True,
        )
    ]
    if folder is None:
        originals = draw_images(500, 12)
    else:
        originals = [
            np.asarray(Image.open(path).convert("RGB")) for path in list_images(folder)[:n_images]
        ]
    return [
        np.asarray(
            Image.fromarray(originals[n % len(originals)]).resize(shapes[n % n_sizes][::-1], 3)
        )
        for n in range(n_images)
    ]


def pixels(images: list[np.ndarray], interpolation: str) -> dict[str, Any]:
    """Compare the levels of the graph with those of Pillow."""
    preprocessing = Preprocessing(224, 256, (0.0,) * 3, (1.0,) * 3, interpolation)
    session = session_of(pixel_graph(preprocessing, 18))
    counts, largest = np.zeros(3), 0.0
    for image in images:
        given = session.run(None, {"images": image[None]})[0][0].transpose(1, 2, 0) * 255
        gap = np.abs(given - preprocessing(Image.fromarray(image)))
        counts += [gap.size, (gap < 0.5).sum(), (gap < 1.5).sum()]
        largest = max(largest, float(gap.max()))
    return {"interpolation": interpolation, "images": len(images), "equal %": 100 * counts[1] / counts[0],
            "within 1 %": 100 * counts[2] / counts[0], "largest": round(largest)}  # fmt: skip


def network(name: str, pooling: str, layers: Any, folder: Path) -> dict[str, Any]:
    features = DeepFeatureTransformer(
        name,
        weights="random",
        random_state=0,
        layers=layers,
        pooling=pooling,
        cache=None,
        precision="float32",
    ).fit([draw_images(64, 1)[0]])
    start = time.perf_counter()
    report = export_onnx(features, folder / "model.onnx")
    seconds = time.perf_counter() - start
    images = draw_images(features.plan_.preprocessing.crop, 4)
    session = session_of(report.path)
    given = np.concatenate([session.run(None, {"images": image[None]})[0] for image in images])
    expected = features.transform(images)
    cosines = (
        (given * expected).sum(1) / np.linalg.norm(given, axis=1) / np.linalg.norm(expected, axis=1)
    )
    weights = bytes_of_weights(features)
    return {"network": name, "pooling": pooling, "layers": str(layers), "cosine": float(cosines.min()),
            "export s": seconds, "MB": report.bytes / 1e6, "weights MB": weights / 1e6}  # fmt: skip


def bytes_of_weights(features: DeepFeatureTransformer) -> int:
    state = features.backbone_.state_dict()
    return sum(value.numel() * value.element_size() for value in state.values())


def head(before: Any, after: Any, folder: Path) -> dict[str, Any]:
    X, y = load_digit_images(return_X_y=True)
    y = y % 3 * 1.0 if isinstance(after, Ridge) else np.array(["ant", "bee", "cow"])[y % 3]
    steps = ([] if before is None else [before]) + [after]
    model = make_pipeline(DeepFeatureTransformer("tiny", precision="float32"), *steps).fit(
        X[:300], y[:300]
    )
    report = export_onnx(model, folder / "model.onnx", check=X[300:800])
    parts = bytes_of_weights(model[0]) + len(pickle.dumps(model[1:]))
    return {"before": type(before).__name__, "head": type(after).__name__, "output": report.outputs[-1],
            "difference": report.max_difference, "labels equal %": 100 * report.agreement,
            "MB": report.bytes / 1e6, "weights and pickled head, MB": parts / 1e6}  # fmt: skip


def segmenter(name: str, image_size: Any, folder: Path) -> dict[str, Any]:
    """Export a segmenter of the bundled masks and compare it on images of five sizes."""
    data = load_digit_masks()
    manner = {"image_size": image_size, "random_state": 0}
    if name in DECODERS:
        model = FineTuneSegmenter("tiny", strategy="frozen", head=name, max_epochs=2, **manner)
    else:
        model = PixelClassifier(PIXEL_HEADS[name], backbone="tiny", n_pixels=50, **manner)
    start = time.process_time()
    fitted = model.fit(data.X[:30], data.y[:30])
    report = export_onnx(fitted, folder / "model.onnx")
    return {"segmenter": name, "image_size": str(image_size), "difference": report.max_difference,
            "labels equal %": 100 * report.agreement, "levels": report.max_levels,
            "fit and export, processor s": time.process_time() - start, "MB": report.bytes / 1e6}  # fmt: skip


def throughput(name: str, side: int) -> dict[str, Any]:
    """Time one image through the whole graph, and normalised pixels through the network alone."""
    features = DeepFeatureTransformer(
        name, weights="random", random_state=0, cache=None, precision="float32"
    )
    exportable = take_apart(features.fit([draw_images(64, 1)[0]]))
    bare = session_of(
        network_graph(exportable.network, exportable.preprocessing.crop, "features", 18)
    )
    with tempfile.TemporaryDirectory() as folder:
        whole = session_of(export_onnx(features, Path(folder, "model.onnx")).path)
    image = draw_images(side, 1)[0][None]
    ready = np.zeros(
        (1, 3, exportable.preprocessing.crop, exportable.preprocessing.crop), np.float32
    )
    seconds = in_turn(
        {
            "whole": lambda: whole.run(None, {"images": image}),
            "bare": lambda: bare.run(None, {"normalised": ready}),
        },
        15,
    )
    whole_s, bare_s = seconds["whole"], seconds["bare"]
    return {"network": name, "image": f"{side} x {side}", "whole images/s": 1 / whole_s,
            "network images/s": 1 / bare_s, "share": bare_s / whole_s}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photographs", type=Path, help="a folder of photographs")
    parser.add_argument("--images", type=int, default=200, help="number of photographs")
    parser.add_argument("--networks", nargs="+", default=NETWORKS)
    parser.add_argument("--families", nargs="*", default=FAMILIES, help="networks of all poolings")
    parser.add_argument("--poolings", nargs="*", default=POOLINGS, choices=POOLINGS)
    parser.add_argument("--heads", type=int, default=len(HEADS), help="number of heads")
    parser.add_argument(
        "--sides", type=int, nargs="*", default=[224, 256, 640], help="of images that are timed"
    )
    parser.add_argument("--out", type=Path, help="a JSON file for the rows")
    parser.add_argument(
        "--segmenters", nargs="*", default=[*DECODERS, *PIXEL_HEADS], help="decoders and heads"
    )
    parser.add_argument("--tables", nargs="+", default=TABLES, choices=TABLES)
    options = parser.parse_args()
    tables = []

    def table(name: str, rows: Iterable[dict[str, Any]]) -> None:
        if name in options.tables:
            tables.append(list(rows))
            if tables[-1]:
                print_table(tables[-1])

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if "pixels" in options.tables:
            images = photographs(options.photographs, options.images)
            table("pixels", (pixels(images, how) for how in ("bilinear", "bicubic")))
        wanted = [(n, "avg", -1) for n in options.networks]
        wanted += [(n, "avgmax", [-2, -1]) for n in options.networks]
        table("networks", (network(*one, folder) for one in wanted))
        pooled = itertools.product(options.families, options.poolings, (-1, [-2, -1]))
        table("poolings", (network(*one, folder) for one in pooled))
        pairs = itertools.product((None, StandardScaler(), PCA(20)), HEADS[: options.heads])
        table("heads", (head(before, after, folder) for before, after in pairs))
        sizes = itertools.product(options.segmenters, (None, 40))
        table("segmenters", (segmenter(n, size, folder) for n, size in sizes))
    timed = itertools.product(options.networks[:2], options.sides)
    table("throughput", (throughput(*one) for one in timed))
    save(options.out, [row for table in tables for row in table])


if __name__ == "__main__":
    main()

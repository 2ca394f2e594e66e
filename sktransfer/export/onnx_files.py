"""`export_onnx`: a fitted model, from resizing to the label, as one file of ONNX."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sktransfer.export.checking import check_images, compared
from sktransfer.export.drawn_images import draw_images
from sktransfer.export.exportable import take_apart
from sktransfer.export.exportable_masks import SEGMENTERS, take_segmenter_apart
from sktransfer.export.extras import imported
from sktransfer.export.head_graph import head_graph
from sktransfer.export.interpolated_graph import interpolated_graph
from sktransfer.export.joining import joined, label_graph
from sktransfer.export.mask_network import mask_network_graph
from sktransfer.export.network_graph import network_graph
from sktransfer.export.pixel_graph import pixel_graph
from sktransfer.export.report import ExportReport
from sktransfer.export.whole_image_graph import whole_image_graph
from sktransfer.segmentation.pixel_classifier import STEP
from sktransfer.segmentation.whole_images import SMALLEST, fixed_size
from sktransfer.writing import check_writable, whole_file

if TYPE_CHECKING:
    import os

    import onnx

    from sktransfer.export.exportable import Exportable
    from sktransfer.export.exportable_masks import ExportableMasks

__all__ = ["export_onnx"]

_OPSETS = (18, 19, 20, 21)
_MOST_NAMES = 10_000  # of features, in the metadata
_LIBRARIES = ("sktransfer", "torch", "scikit-learn", "skl2onnx", "onnx")


def export_onnx(
    model: Any, path: str | os.PathLike[str], *, check: Any = None, opset: int = 18
) -> ExportReport:
    """Write a fitted model as a file that ONNX Runtime runs, without torch and scikit-learn.

    The graph's input "images" is uint8 of shape (n, height, width, 3), RGB; all images of a call
    have one size, and the next call may have another. Resizing and normalising are in the graph;
    decoding, the orientation of cameras, transparency and 16 bits are not: open files by
    ``PIL.ImageOps.exif_transpose(PIL.Image.open(path)).convert("RGB")``.

    Outputs are "label" and "probabilities" of a classifier, "scores" if it has no probabilities,
    "prediction" of a regressor, "features" of a transformer, and "mask" (n, height, width) and
    "probabilities" (n, height, width, n_classes) of a segmenter, in the images' own size.

    The graph has to give the model's probabilities within 0.001, and other numbers within 0.005 of the
    largest. ONNX Runtime rounds a part of the resized pixels to the next grey level, and where a network
    answers to that by more, this holds of the pixels as the graph resized them; these may be 2 levels
    from Pillow's, and outputs 0.1 from the model's.

    Parameters
    ----------
    model : estimator
        A Pipeline that begins with a :class:`~sktransfer.DeepFeatureTransformer`, such a transformer
        alone, a fine-tuned or adapted estimator, a `layer_ensemble`, a segmenter, or a search over any
        of these.
    path : str or path
        The file to write, or to replace.
    check : images or None, default=None
        Images on which the graph has to give what the model gives; None draws some.
    opset : {18, 19, 20, 21}, default=18
        Version of ONNX's operators.

    Returns
    -------
    ExportReport
        With the largest difference from the model in float32, and the file's size.

    Raises
    ------
    ExportError
        If a step cannot be exported, naming it, or the graph does not give what the model gives;
        there is then no file.
    ImportError
        If a package of the extra ``onnx`` is missing.
    OSError
        If the file cannot be written.

    See Also
    --------
    ExportReport : What it returns.
    save_model : A file for places where this package is installed.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sktransfer import DeepFeatureTransformer
    >>> from sktransfer.datasets import load_digit_images
    >>> X, y = load_digit_images(return_X_y=True)
    >>> model = make_pipeline(DeepFeatureTransformer("tiny"), LogisticRegression(max_iter=500))
    >>> export_onnx(model.fit(X[:200], y[:200]), "digits.onnx").outputs  # doctest: +SKIP
    ('label', 'probabilities')
    """
    if opset not in _OPSETS:
        raise ValueError(
            f"opset={opset!r} is not possible. Choose from {', '.join(map(str, _OPSETS))}: "
            "antialiased resizing came with 18."
        )
    imported("onnx", "onnx", "onnxruntime", "onnxscript", "skl2onnx")
    check_writable("path", Path(path))
    fitted = getattr(model, "best_estimator_", model)
    exportable: Exportable | ExportableMasks
    if isinstance(fitted, SEGMENTERS):
        exportable = take_segmenter_apart(fitted)
        graph = _mask_graph_of(exportable, opset)
    else:
        exportable = take_apart(model)
        graph = _graph_of(exportable, opset)
    size = exportable.preprocessing.crop
    images = draw_images(size) if check is None else check_images(check)
    found = compared(graph, model, images, exportable.seen)
    _describe(graph, exportable)
    with whole_file(path) as unfinished:
        unfinished.write_bytes(graph.SerializeToString())
        n_bytes = unfinished.stat().st_size
    return ExportReport(
        path=Path(path),
        outputs=tuple(output.name for output in graph.graph.output),
        max_difference=found.max_difference,
        agreement=found.agreement,
        n_checked=found.n_checked,
        bytes=n_bytes,
        opset=opset,
        max_levels=found.max_levels,
    )


def _graph_of(exportable: Exportable, opset: int) -> onnx.ModelProto:
    """Write all parts, those first that are refused most often, and join them."""
    size, output, last = exportable.preprocessing.crop, exportable.output, {}
    if exportable.head is not None:
        last = {"head/": head_graph(exportable.head, exportable.n_columns, opset)}
    elif output.classes is not None:
        last = {"labels/": label_graph(output.classes, opset, several=output.several)}
    parts = {
        "pixels/": pixel_graph(exportable.preprocessing, opset),
        "network/": network_graph(exportable.network, size, output.name, opset),
        **last,
    }
    return joined(list(parts.values()), list(parts))


def _mask_graph_of(exportable: ExportableMasks, opset: int) -> onnx.ModelProto:
    """Write all parts of a segmenter and join them."""
    size, head, classes = exportable.image_size, exportable.head, exportable.classes
    outputs, rest = ["codes", "probabilities"], {}
    if head is not None:
        outputs, n_features = ["features"], head.n_features_in_
        rest = {
            "head/": head_graph(head, n_features, opset),
            "between/": interpolated_graph(head.classes_, len(classes), STEP, opset),
        }
    fixed = fixed_size(size)
    shape = None if fixed is None else (max(SMALLEST, fixed[0]), max(SMALLEST, fixed[1]))
    parts = {
        "pixels/": whole_image_graph(exportable.preprocessing, size, opset),
        "network/": mask_network_graph(exportable.network, shape, outputs, opset),
        **rest,
        "labels/": label_graph(classes, opset, of_pixels=True),
    }
    return joined(list(parts.values()), list(parts))


def _describe(graph: onnx.ModelProto, exportable: Exportable | ExportableMasks) -> None:
    """Write into the file what it is, as JSON under names that begin with sktransfer."""
    (helper,) = imported("onnx", "onnx.helper")
    about = {
        **exportable.about,
        "preprocessing": exportable.preprocessing.key,
        "versions": {name: version(name) for name in _LIBRARIES},
    }
    if len(about.get("feature_names") or ()) > _MOST_NAMES:
        del about["feature_names"]
    graph.producer_name, graph.producer_version = "sktransfer", version("sktransfer")
    helper.set_model_props(
        graph, {f"sktransfer.{key}": json.dumps(value) for key, value in about.items()}
    )

"""A segmenter in ONNX Runtime labels the pixels of images of any size as it labels them here."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from sktransfer import FineTuneSegmenter, PixelClassifier, export_onnx
from sktransfer.backbones import load_backbone
from sktransfer.datasets import load_digit_masks
from sktransfer.exceptions import ExportError
from sktransfer.export.drawn_images import draw_images
from sktransfer.export.exportable_masks import take_segmenter_apart
from sktransfer.export.interpolated_graph import interpolated_graph
from sktransfer.export.whole_image_graph import whole_image_graph
from sktransfer.segmentation.grids import Grid, resample
from sktransfer.segmentation.whole_images import resized, with_border

runtime = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
pytest.importorskip("skl2onnx", reason="the extra onnx is not installed")
pytest.importorskip("onnxscript", reason="the extra onnx is not installed")

DATA = load_digit_masks()
X, y = DATA.X[:6], np.array([f"ink {digit}" for digit in range(12)])[DATA.y[:6]]


def session_of(graph):
    data = graph if isinstance(graph, str) else graph.SerializeToString()
    return runtime.InferenceSession(data, providers=["CPUExecutionProvider"])


def two_layers():
    """Build a network that is exported quickly."""
    first, second = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 8, 3, 2, 1)
    return nn.Sequential(first, nn.BatchNorm2d(8), nn.ReLU(True), second, nn.BatchNorm2d(8))


def test_every_pixel_has_the_label_that_it_has_here(tmp_path):
    model = FineTuneSegmenter(two_layers, weights="random", head="unet", image_size=40)
    model.set_params(max_epochs=1, random_state=0).fit(X, y)
    report = export_onnx(model, tmp_path / "model.onnx", check=draw_images(40, 2))
    assert report.outputs == ("mask", "probabilities")
    assert report.agreement > 0.999
    session = session_of(str(report.path))
    for image in draw_images(70, 2)[1], draw_images(20, 1)[0]:
        masks, probabilities = session.run(None, {"images": np.stack([image, image[::-1]])})
        expected = np.stack([model.predict([part])[0] for part in (image, image[::-1])])
        assert masks.shape == (2, *image.shape[:2])
        assert np.mean(masks == expected) > 0.999
        np.testing.assert_allclose(probabilities[0], model.predict_proba([image])[0], atol=5e-3)


@pytest.mark.parametrize("image_size", [None, 48, (30, 50)])
def test_images_are_resized_and_given_a_border_as_here(image_size):
    preprocessing = load_backbone("tiny").preprocessing
    session = session_of(whole_image_graph(preprocessing, image_size, 18))
    for image in (*draw_images(60, 3), draw_images(20, 1)[0], draw_images(60, 1)[0][:, :25].copy()):
        given, rows, columns = session.run(None, {"images": image[None]})
        small = resized(image, image_size)
        bordered = torch.from_numpy(np.array(with_border(small)))[None]
        expected = preprocessing.normalize(bordered).numpy()
        gap = np.abs(given - expected) * 255 * min(preprocessing.std)
        assert gap.max() < 1.01
        assert np.mean(gap < 0.01) > 0.9
        for places, axis in ((rows, 0), (columns, 1)):
            n = image.shape[axis]
            np.testing.assert_allclose(places, (np.arange(n) + 0.5) * small.shape[axis] / n - 0.5)


@pytest.mark.parametrize("estimator", [None, LogisticRegression()])
@pytest.mark.parametrize("n_classes", [2, 12])
def test_a_classifier_of_pixels_is_taken_apart_such_that_its_parts_give_the_same(
    estimator, n_classes
):
    masks = DATA.y[:6] % n_classes
    model = PixelClassifier(estimator, backbone=two_layers, weights="random", n_pixels=30)
    model.set_params(random_state=0, precision="float32", cache=None).fit(X, masks)
    image = draw_images(45, 2)[1]
    height, width = image.shape[:2]
    found = take_segmenter_apart(model)
    places = [torch.arange(n, dtype=torch.float64) for n in (height, width)]
    with torch.no_grad():
        pixels = found.preprocessing.normalize(torch.from_numpy(image)[None])
        outputs = found.network(pixels, *places)
    if estimator is None:
        codes, probabilities = (part.numpy() for part in outputs)
    else:
        rows = model.estimator_.predict_proba(outputs.numpy()).astype(np.float32)
        session = session_of(interpolated_graph(found.head.classes_, len(found.classes), 4, 18))
        names = ("probabilities_in", "rows", "columns")
        given = dict(zip(names, (rows, *(axis.numpy() for axis in places)), strict=True))
        codes, probabilities = session.run(None, given)
    np.testing.assert_allclose(probabilities[0], model.predict_proba([image])[0], atol=1e-4)
    assert np.mean(model.classes_[codes[0]] == model.predict([image])[0]) > 0.999


def test_classes_without_a_pixel_have_probability_nothing_between_pixels():
    cells = np.random.default_rng(0).dirichlet([1, 1], (1, 3, 2)).astype(np.float32)
    session = session_of(interpolated_graph(np.array([2, 0]), 3, 4, 18))
    given = {"probabilities_in": cells.reshape(-1, 2), "rows": np.zeros(10), "columns": np.zeros(7)}
    codes, probabilities = session.run(None, given)
    maps = torch.from_numpy(np.moveaxis(cells, 3, 1)[:, [1, 0]])
    expected = resample(maps, Grid(4.0), Grid(1.0), (10, 7)).numpy()
    np.testing.assert_allclose(probabilities[..., [0, 2]], np.moveaxis(expected, 1, 3), atol=1e-6)
    assert not probabilities[..., 1].any()
    assert set(codes.ravel()) <= {0, 2}


def test_features_made_by_hand_are_refused(tmp_path):
    model = PixelClassifier(backbone=None, random_state=0).fit(X, y)
    with pytest.raises(ExportError, match="hand-made features have no counterpart in ONNX"):
        export_onnx(model, tmp_path / "model.onnx")


def test_a_network_of_tokens_needs_images_of_one_size(tmp_path):
    pytest.importorskip("timm", reason="the extra timm is not installed")
    settings = {"backbone": "timm:test_vit", "weights": "random", "random_state": 0}
    model = PixelClassifier(image_size=64, n_pixels=20, **settings).fit(X[:2], y[:2])
    with pytest.raises(ExportError, match=r"cuts images into tokens.*image_size=\(160, 160\)"):
        export_onnx(model, tmp_path / "model.onnx")

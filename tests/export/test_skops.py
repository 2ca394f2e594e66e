"""Files of skops carry every estimator, and execute nothing, whoever wrote them."""

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from sktransfer import (
    TRUSTED_TYPES,
    DANNClassifier,
    DeepCORALClassifier,
    DeepFeatureTransformer,
    FineTuneClassifier,
    FineTuneRegressor,
    FineTuneSegmenter,
    LabeledClassifier,
    LabeledFold,
    MMDClassifier,
    NeighborSelfTrainingClassifier,
    NeighborSmoother,
    PixelClassifier,
    layer_ensemble,
    load_model,
    save_model,
)
from sktransfer.backbones import load_backbone
from sktransfer.datasets import load_digit_images, load_digit_masks
from sktransfer.exceptions import ExportError
from sktransfer.raw_pixels import PixelTransformer
from sktransfer.unlabelled import SquareRootTransformer

skops = pytest.importorskip("skops.io", reason="the extra skops is not installed")

X, digits = load_digit_images(return_X_y=True)
X, y = X[:45], digits[:45] % 3
HALF = np.where(np.arange(45) < 30, y, -1)
MASKS = load_digit_masks()
TRAINING = {"strategy": "frozen", "max_epochs": 1, "random_state": 0}
TABLE = pd.DataFrame({"image": list(X), "weight": np.arange(45.0)})

FITS = {
    "transformer": lambda: DeepFeatureTransformer("tiny", layers=[-2, -1]).fit(X),
    "transformer with weights": lambda: DeepFeatureTransformer("tiny", store_weights=True).fit(X),
    "transformer of random weights": lambda: DeepFeatureTransformer("tiny", weights="random").fit(
        X
    ),
    "raw pixels": lambda: PixelTransformer(8).fit(X),
    "pipeline": lambda: _pipeline().fit(X, y),
    "boosting": lambda: make_pipeline(
        DeepFeatureTransformer("tiny"), HistGradientBoostingClassifier(max_iter=2)
    ).fit(X, np.array(["ant", "bee", "cow"])[y]),
    "search": lambda: GridSearchCV(_pipeline(), {"logisticregression__C": [1, 2]}, cv=2).fit(X, y),
    "vote": lambda: layer_ensemble("tiny", [-2, -1]).fit(X, y),
    "stack": lambda: layer_ensemble("tiny", [-2, -1], combine="stack", cv=2).fit(X, y),
    "columns": lambda: make_pipeline(
        ColumnTransformer([("image", _pipeline()[:-1], ["image"])], remainder="passthrough"),
        LogisticRegression(max_iter=2000),
    ).fit(TABLE, y),
    "classifier": lambda: FineTuneClassifier("tiny", **TRAINING).fit(X, y),
    "classifier of two": lambda: FineTuneClassifier("tiny", **TRAINING).fit(X, y > 0),
    "classifier of several labels": lambda: FineTuneClassifier("tiny", **TRAINING).fit(
        X, np.eye(3, dtype=int)[y]
    ),
    "regressor": lambda: FineTuneRegressor("tiny", **TRAINING).fit(X, y * 0.5),
    "DANN": lambda: DANNClassifier("tiny", **TRAINING).fit(X, HALF),
    "CORAL": lambda: DeepCORALClassifier("tiny", **TRAINING).fit(X, HALF),
    "MMD": lambda: MMDClassifier("tiny", **TRAINING).fit(X, HALF),
    "neighbours": lambda: make_pipeline(
        DeepFeatureTransformer("tiny"), NeighborSmoother(3), NeighborSelfTrainingClassifier()
    ).fit(X, HALF),
    "labelled rows": lambda: make_pipeline(
        DeepFeatureTransformer("tiny"), SquareRootTransformer(), LabeledClassifier()
    ).fit(X, HALF),
    "search of the labelled": lambda: GridSearchCV(
        make_pipeline(DeepFeatureTransformer("tiny"), NeighborSelfTrainingClassifier()),
        {"neighborselftrainingclassifier__n_neighbors": [3]},
        cv=LabeledFold(2),
    ).fit(X, HALF),
    "segmenter": lambda: FineTuneSegmenter("tiny", **TRAINING).fit(MASKS.X[:4], MASKS.y[:4]),
    "pixel classifier": lambda: PixelClassifier(backbone="tiny", random_state=0).fit(
        MASKS.X[:4], MASKS.y[:4]
    ),
}


def _pipeline():
    return make_pipeline(DeepFeatureTransformer("tiny"), StandardScaler(), LogisticRegression())


@pytest.mark.parametrize("name", FITS)
def test_every_estimator_comes_back_as_it_was_and_needs_no_other_type(name, tmp_path):
    model = FITS[name]()
    path = tmp_path / "model.skops"
    save_model(model, path)
    assert set(skops.get_untrusted_types(file=path)) <= set(TRUSTED_TYPES)
    method = "predict" if hasattr(model, "predict") else "transform"
    images = (
        TABLE if name == "columns" else MASKS.X[:4] if "seg" in name or "pixel c" in name else X
    )
    before, after = (list(getattr(one, method)(images)) for one in (model, load_model(path)))
    assert all(np.array_equal(one, other) for one, other in zip(before, after, strict=True))


def test_a_model_that_is_not_fitted_comes_back_too(tmp_path):
    save_model(_pipeline(), tmp_path / "model.skops")
    assert load_model(tmp_path / "model.skops").fit(X, y).score(X, y) > 0.9


def test_places_of_the_writers_machine_are_reset(tmp_path):
    features = DeepFeatureTransformer("tiny", cache=str(tmp_path / "kept"), device="cpu").fit(X)
    model = make_pipeline(
        features, LogisticRegression(max_iter=2000), memory=str(tmp_path / "steps")
    )
    save_model(model, tmp_path / "model.skops")
    loaded = load_model(tmp_path / "model.skops")
    assert loaded.memory is None
    assert (loaded[0].cache, loaded[0].device) == ("memory", "auto")
    assert features.cache == str(tmp_path / "kept")


@pytest.mark.parametrize(
    "model",
    [
        DeepFeatureTransformer(load_backbone("tiny").module),
        make_pipeline(DeepFeatureTransformer(lambda: nn.Conv2d(3, 4, 3)), StandardScaler()),
        FineTuneClassifier("tiny", head=nn.Linear),
    ],
    ids=["module", "function", "head"],
)
def test_a_network_passed_as_an_object_is_refused(model, tmp_path):
    with pytest.raises(ExportError, match="Pass a name or a weights file"):
        save_model(model, tmp_path / "model.skops")
    assert list(tmp_path.iterdir()) == []


def test_another_packages_types_are_refused_when_they_are_saved(tmp_path):
    class Own(StandardScaler):
        pass

    with pytest.raises(ExportError, match="Own, which load_model does not trust"):
        save_model(make_pipeline(DeepFeatureTransformer("tiny"), Own()), tmp_path / "model.skops")
    assert list(tmp_path.iterdir()) == []


def test_the_ending_tells_the_kind_of_file(tmp_path):
    for function in (lambda path: save_model(_pipeline(), path), load_model):
        with pytest.raises(ValueError, match=r"must end in \.skops"):
            function(tmp_path / "model.joblib")
    with pytest.raises(FileNotFoundError, match="nothing"):
        load_model(tmp_path / "nothing.skops")


@pytest.mark.filterwarnings("ignore")  # MLflow warns of annotations of its own
def test_mlflow_logs_a_pipeline_and_loads_it_again(tmp_path):
    mlflow = pytest.importorskip("mlflow", reason="MLflow is not installed")
    import io

    from PIL import Image

    def encoded(pixels):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG")
        return file.getvalue()

    table = pd.DataFrame({"image": [encoded(image) for image in X]})
    model = _pipeline().fit(table, y)
    path = tmp_path / "model"
    signature = mlflow.models.infer_signature(table, model.predict(table))
    mlflow.sklearn.save_model(
        model, str(path), signature=signature, skops_trusted_types=list(TRUSTED_TYPES)
    )
    loaded = mlflow.pyfunc.load_model(str(path))
    np.testing.assert_array_equal(loaded.predict(table), model.predict(table))

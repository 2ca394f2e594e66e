import copy
import io
import pickle
import re
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from sktransfer import DeepFeatureTransformer
from sktransfer.backbones import clear_backbones, load_backbone
from sktransfer.backbones.tiny import WEIGHTS_FILE, tiny
from sktransfer.exceptions import ImageDecodeError, ImageWarning, WeightsMismatchError
from sktransfer.preprocessing import Preprocessing


@pytest.fixture
def photos(tmp_path):
    """Three colour pictures on disk, larger than the network's input."""
    rng = np.random.default_rng(0)
    paths = []
    for i in range(3):
        small = rng.integers(0, 256, (9, 12, 3), np.uint8)
        path = tmp_path / f"{i}.png"
        Image.fromarray(small).resize((160, 120), Image.Resampling.BICUBIC).save(path)
        paths.append(str(path))
    return paths


def _pipeline(**options):
    return make_pipeline(
        DeepFeatureTransformer("tiny", **options),
        StandardScaler(),
        LogisticRegression(C=0.01, max_iter=1000),
    )


def test_features_of_the_bundled_network_beat_pixels_and_an_untrained_network(digits):
    X, y = digits.X[:400], digits.y[:400]
    pretrained = cross_val_score(_pipeline(layers=[-2, -1]), X, y).mean()
    untrained = cross_val_score(
        _pipeline(layers=[-2, -1], weights="random", random_state=0), X, y
    ).mean()
    assert pretrained > 0.9
    assert pretrained > untrained


@pytest.mark.parametrize("wrap", [
    lambda paths: np.array(paths, dtype=object),
    lambda paths: pd.Series(paths, index=[7, 8, 9]),
    lambda paths: pd.DataFrame({"path": paths}),
    lambda paths: [Image.open(path) for path in paths],
    lambda paths: [np.asarray(Image.open(path)) for path in paths],
    lambda paths: np.stack([np.asarray(Image.open(path)) for path in paths]),
    lambda paths: np.stack([np.asarray(Image.open(path)) for path in paths]).transpose(0, 3, 1, 2),
    lambda paths: torch.from_numpy(np.stack([np.asarray(Image.open(path)) for path in paths])),
    lambda paths: [Path(path).read_bytes() for path in paths],
])  # fmt: skip
def test_the_same_picture_gives_the_same_features_whatever_the_wrapper(wrap, photos):
    make = lambda: DeepFeatureTransformer("tiny", cache=None, precision="float32")  # noqa: E731
    np.testing.assert_allclose(
        make().transform(wrap(photos)), make().transform(photos), rtol=1e-5, atol=1e-6
    )


def test_flattened_rows_give_the_features_of_their_images(digits):
    rows = digits.X[:5].reshape(5, -1)
    features = DeepFeatureTransformer("tiny")
    np.testing.assert_array_equal(
        features.fit(rows).transform(rows), DeepFeatureTransformer("tiny").transform(digits.X[:5])
    )
    assert features.n_features_in_ == 64


def test_a_column_of_paths_joins_a_table(photos):
    table = pd.DataFrame({"path": photos, "size": [1.0, 2.0, 3.0]})
    columns = ColumnTransformer(
        [("image", DeepFeatureTransformer("tiny"), ["path"]), ("rest", "passthrough", ["size"])]
    )
    joined = columns.set_output(transform="pandas").fit_transform(table)
    assert joined.shape == (3, 257)
    assert joined.columns[0] == "image__layer4_avg_0"


def test_set_output_names_the_columns(digits):
    frame = (
        DeepFeatureTransformer("tiny").set_output(transform="pandas").fit_transform(digits.X[:3])
    )
    assert frame.columns[-1] == "layer4_avg_255"


# --- what fit leaves behind ------------------------------------------------------------------------


def test_fit_leaves_a_plan_that_everything_reads(digits):
    features = DeepFeatureTransformer("tiny", layers=[-2, -1], pooling=["avg", "avgmax"]).fit(
        digits.X[:2]
    )
    assert features.n_features_out_ == features.plan_.n_features == 128 + 512
    assert features.plan_.layers == ("layer3", "layer4")
    assert features.plan_.weights == "BUNDLED"
    assert features.failed_ == []
    assert isinstance(features.backbone_, nn.Module)
    assert features.transform(digits.X[:2]).shape == (2, 640)


def test_it_works_unfitted_and_then_leaves_nothing_but_the_list_of_failures(digits):
    features = DeepFeatureTransformer("tiny")
    expected = DeepFeatureTransformer("tiny").fit(digits.X[:2]).transform(digits.X[:2])
    np.testing.assert_array_equal(features.transform(digits.X[:2]), expected)
    assert not hasattr(features, "plan_")
    with pytest.raises(AttributeError, match="no backbone_ before it is fitted"):
        _ = features.backbone_


def test_constructors_only_store(tmp_path):
    options = {
        "weights": str(tmp_path / "none.pth"),
        "layers": "nowhere",
        "device": "moon",
        "batch_size": "many",
    }
    features = clone(DeepFeatureTransformer("no such network", **options)).set_params(verbose=1)
    assert features.get_params()["device"] == "moon"


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"batch_size": 0}, ValueError, "batch_size=0 must be at least 1"),
        ({"batch_size": 2.5}, TypeError, "batch_size=2.5 must be an int"),
        ({"num_workers": "all"}, ValueError, "num_workers='all' is not possible"),
        ({"num_workers": -1}, ValueError, "num_workers=-1 must be at least 0"),
        (
            {"on_error": "skip"},
            ValueError,
            "on_error='skip' is not possible. Choose one of: 'raise', 'warn', 'nan'",
        ),
        ({"image_size": 0}, ValueError, "image_size=0 must be at least 1"),
        ({"precision": "int8"}, ValueError, "precision='int8' is not possible"),
        ({"cache": 3}, TypeError, "cache=3 is not possible"),
    ],
)
def test_wrong_parameters_are_told_in_one_form(options, error, message, digits):
    with pytest.raises(error, match=re.escape(message)):
        DeepFeatureTransformer("tiny", **options).fit_transform(digits.X[:2])


def test_progress_appears_only_when_asked_for(digits, capsys):
    DeepFeatureTransformer("tiny").transform(digits.X[:3])
    assert capsys.readouterr().err == ""
    DeepFeatureTransformer("tiny", verbose=1).transform(digits.X[:3])
    assert "3/3" in capsys.readouterr().err


# --- images that cannot be read --------------------------------------------------------------------


@pytest.fixture
def one_broken(photos, tmp_path):
    broken = tmp_path / "broken.jpg"
    buffer = io.BytesIO()
    Image.new("RGB", (90, 90), "red").save(buffer, "JPEG")
    broken.write_bytes(buffer.getvalue()[:200])
    return [photos[0], str(broken), photos[1], str(tmp_path / "missing.png")]


@pytest.mark.parametrize("cache", ["memory", None])
@pytest.mark.parametrize("num_workers", [0, 2])
def test_an_unreadable_image_stops_the_run_with_row_and_path(one_broken, cache, num_workers):
    features = DeepFeatureTransformer("tiny", cache=cache, num_workers=num_workers)
    with pytest.raises(
        ImageDecodeError, match=r"image [13] of 4 \('.*(broken\.jpg|missing\.png)'\)"
    ):
        features.transform(one_broken)


@pytest.mark.parametrize("cache", ["memory", None])
@pytest.mark.parametrize("batch_size", [1, 2, 32])
def test_or_its_row_is_nan_and_listed(one_broken, cache, batch_size):
    features = DeepFeatureTransformer("tiny", on_error="nan", cache=cache, batch_size=batch_size)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = features.transform(one_broken)
    assert features.failed_ == [1, 3]
    assert np.isnan(found[[1, 3]]).all()
    good = DeepFeatureTransformer("tiny").transform([one_broken[0], one_broken[2]])
    np.testing.assert_allclose(found[[0, 2]], good, rtol=0.02, atol=0.02)
    assert features.transform([one_broken[0]]).shape == (1, 256)
    assert features.failed_ == []


def test_or_it_warns_as_well(one_broken):
    features = DeepFeatureTransformer("tiny", on_error="warn")
    with pytest.warns(ImageWarning, match=r"image [13] of 4") as caught:
        assert features.transform(one_broken).shape == (4, 256)
    assert len(caught) == 2


@pytest.mark.parametrize("n_devices", [1, 3])
@pytest.mark.parametrize("cache", ["memory", None])
def test_forward_passes_in_the_background_as_on_gpus_change_nothing(
    cache, n_devices, photos, tmp_path, monkeypatch
):
    X = [photos[0], str(tmp_path / "missing.png"), photos[1], photos[0], photos[2], photos[1]]
    options = {"on_error": "nan", "batch_size": 1, "precision": "float32"}
    expected = DeepFeatureTransformer("tiny", cache=None, **options).transform(X)
    engines = []

    @contextmanager
    def lanes(given):
        engines.extend(given)
        with ThreadPoolExecutor(len(given)) as pool:
            yield [partial(pool.submit, engine.run) for engine in given]

    monkeypatch.setattr("sktransfer.features.extraction._lanes", lanes)
    monkeypatch.setattr(
        "sktransfer.features.transformer.resolve_devices",
        lambda _: [torch.device("cpu", i) for i in range(n_devices)],
    )
    features = DeepFeatureTransformer("tiny", cache=cache, **options).fit(X)
    features.clear_cache()
    np.testing.assert_allclose(features.transform(X), expected, rtol=1e-4, atol=1e-5)
    assert features.failed_ == [1]
    assert len({id(engine.network) for engine in engines}) == n_devices


def test_all_unreadable_is_still_all_rows(tmp_path):
    found = DeepFeatureTransformer("tiny", on_error="nan").transform(
        [str(tmp_path / "a"), str(tmp_path / "b")]
    )
    assert np.isnan(found).all()
    assert found.shape == (2, 256)


def test_nan_in_rows_is_an_error_or_a_row_of_nan(digits):
    rows = digits.X[:4].reshape(4, -1) / 255
    rows[2, 5] = np.nan
    with pytest.raises(ValueError, match="contains NaN"):
        DeepFeatureTransformer("tiny").fit(rows)
    features = DeepFeatureTransformer("tiny", on_error="nan").fit(rows)
    assert np.isnan(features.transform(rows)).all(axis=1).tolist() == [False, False, True, False]
    assert features.failed_ == [2]


# --- copies and pickles ----------------------------------------------------------------------------


def _by_pickle(estimator):
    return pickle.loads(pickle.dumps(estimator))


def _by_joblib(estimator):
    buffer = io.BytesIO()
    joblib.dump(estimator, buffer)
    buffer.seek(0)
    return joblib.load(buffer)


@pytest.mark.parametrize("again", [clone, copy.copy, copy.deepcopy, _by_pickle, _by_joblib])
@pytest.mark.parametrize("fitted", [True, False])
@pytest.mark.parametrize("store_weights", [True, False])
def test_copies_of_pipelines_give_the_same(again, fitted, store_weights, digits):
    X, y = digits.X[:60], digits.y[:60]
    model = _pipeline(store_weights=store_weights)
    if fitted:
        model.fit(X, y)
    other = again(model)
    if not fitted or again is clone:
        model.fit(X, y)
        other.fit(X, y)
    np.testing.assert_array_equal(other.predict_proba(X), model.predict_proba(X))


def test_a_pickle_is_small_unless_it_carries_the_weights(digits):
    X, y = digits.X[:60], digits.y[:60]
    assert len(pickle.dumps(_pipeline().fit(X, y))) < 100_000
    assert len(pickle.dumps(_pipeline(store_weights=True).fit(X, y))) > 5_000_000


def _tiny_file(path, seed):
    torch.manual_seed(seed)
    save_file(tiny().state_dict(), path)


def test_changed_weights_are_noticed_when_a_pickle_is_used(tmp_path, digits):
    path = tmp_path / "own.safetensors"
    _tiny_file(path, 0)
    data = pickle.dumps(DeepFeatureTransformer("tiny", weights=path).fit(digits.X[:2]))
    pickle.loads(data).transform(digits.X[:2])
    _tiny_file(path, 1)
    with pytest.raises(
        WeightsMismatchError, match=r"own\.safetensors of tiny have changed since they were used"
    ):
        pickle.loads(data).transform(digits.X[:2])


def test_a_pickle_that_carries_its_weights_needs_no_file(tmp_path, digits):
    path = tmp_path / "own.safetensors"
    _tiny_file(path, 0)
    features = DeepFeatureTransformer("tiny", weights=path, store_weights=True, cache=None).fit(
        digits.X[:2]
    )
    expected = features.transform(digits.X[:2])
    data = pickle.dumps(features)
    path.unlink()
    clear_backbones()
    again = pickle.loads(data)
    np.testing.assert_array_equal(again.transform(digits.X[:2]), expected)
    np.testing.assert_array_equal(_by_pickle(again).transform(digits.X[:2]), expected)


def test_random_weights_without_a_seed_stay_what_they_were(digits):
    first, second = (
        DeepFeatureTransformer("tiny", weights="random", cache=None).fit(digits.X[:2])
        for _ in range(2)
    )
    expected = first.transform(digits.X[:2])
    assert not np.allclose(expected, second.transform(digits.X[:2]))
    np.testing.assert_array_equal(first.transform(digits.X[:2]), expected)
    np.testing.assert_array_equal(_by_pickle(first).transform(digits.X[:2]), expected)


def test_a_pickle_loads_in_a_process_that_has_imported_nothing(tmp_path, digits):
    model = _pipeline().fit(digits.X[:60], digits.y[:60])
    joblib.dump(model, tmp_path / "model.joblib")
    code = (
        "import joblib; from sktransfer.datasets import load_digit_images;"
        f"print(joblib.load({str(tmp_path / 'model.joblib')!r}).predict(load_digit_images().X[:10]).tolist())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(model.predict(digits.X[:10]).tolist())


def test_no_tensor_and_no_device_is_in_a_pickle(digits):
    data = pickle.dumps(DeepFeatureTransformer("tiny", store_weights=True).fit(digits.X[:2]))
    assert b"torch" not in data.replace(b"sktransfer", b"")


def test_somebodys_own_module_is_a_backbone(digits):
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 6, 3, 2),
        nn.ReLU(),
        nn.Conv2d(6, 8, 3),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 3),
    )
    network.preprocessing = Preprocessing(32, 32, mean=(0, 0, 0), std=(1, 1, 1))
    before = copy.deepcopy(network.state_dict())
    features = DeepFeatureTransformer(network, cache=None, precision="float32").fit(digits.X[:4])
    found = features.transform(digits.X[:4])
    resized = np.stack(
        [
            np.asarray(
                Image.fromarray(x).convert("RGB").resize((32, 32), Image.Resampling.BILINEAR)
            )
            for x in digits.X[:4]
        ]
    )
    with torch.no_grad():
        expected = network[:5](torch.from_numpy(resized).permute(0, 3, 1, 2) / 255).flatten(1)
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(_by_pickle(features).transform(digits.X[:4]), found, rtol=1e-6)
    for key, value in network.state_dict().items():
        assert torch.equal(value, before[key])
    assert clone(features).fit(digits.X[:1]).n_features_out_ == 8


def test_clones_share_one_network(digits):
    features = DeepFeatureTransformer("tiny").fit(digits.X[:1])
    assert clone(features).fit(digits.X[:1]).backbone_ is features.backbone_
    assert _by_pickle(features).backbone_ is features.backbone_
    assert load_backbone("tiny").module is features.backbone_


def test_two_processes_of_a_search_give_the_scores_of_one(digits):
    X, y = digits.X[:90], digits.y[:90]
    grid = {
        "deepfeaturetransformer__layers": [-1, -2],
        "deepfeaturetransformer__pooling": ["avg", "max"],
    }
    one, two = (
        GridSearchCV(_pipeline(), grid, cv=3, n_jobs=n_jobs)
        .fit(X, y)
        .cv_results_["mean_test_score"]
        for n_jobs in (1, 2)
    )
    np.testing.assert_array_equal(one, two)


def test_threads_share_one_transformer(digits):
    features = DeepFeatureTransformer("tiny", cache=None).fit(digits.X[:1])
    expected = features.transform(digits.X[:8])
    found = joblib.Parallel(4, backend="threading")(
        joblib.delayed(features.transform)(digits.X[:8]) for _ in range(8)
    )
    for other in found:
        np.testing.assert_array_equal(other, expected)


def test_the_bundled_file_holds_what_a_pickle_refers_to():
    state = load_file(WEIGHTS_FILE)
    assert all(
        value.dtype == torch.float16 for key, value in state.items() if "num_batches" not in key
    )
    assert WEIGHTS_FILE.stat().st_size < 7_000_000
    assert sum(value.numel() for value in state.values()) < 3_500_000

"""The inputs of a training: which place of the network they enter at, and what is stored of an image."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from sktransfer import FineTuneClassifier
from sktransfer.backbones import get_backbone, load_backbone
from sktransfer.features.store import open_store
from sktransfer.images import as_image_sequence
from sktransfer.training.inputs import choose_inputs, compute_inputs
from sktransfer.training.settings import training_settings

SEED = 0


def _inputs(X, **parameters):
    settings = {"precision": "float32", "num_workers": 0, "augmentation": None} | parameters
    model = FineTuneClassifier("tiny", **settings)
    loaded = load_backbone("tiny")
    return compute_inputs(
        as_image_sequence(X), loaded, loaded.preprocessing, training_settings(model), SEED
    )


@pytest.mark.parametrize(
    ("first", "options", "kind"),
    [
        (5, {}, "vectors"),
        (4, {}, "maps"),
        (1, {}, "maps"),
        (0, {}, "pixels"),
        (5, {"augments": True}, "pixels"),
        (5, {"augments": True, "n_views": 3}, "vectors"),
        (4, {"augments": True, "n_views": 3}, "maps"),
    ],
)
def test_inputs_enter_where_training_begins_unless_each_epoch_has_other_images(
    first, options, kind
):
    options = {"augments": False, "n_views": None} | options
    assert choose_inputs(get_backbone("tiny"), first, **options)[0] == kind


def test_a_network_that_cannot_go_on_from_a_map_gets_pixels_and_says_so():
    spec = replace(get_backbone("vit_b_16"), resumable=False)
    kind, reason = choose_inputs(spec, 3, augments=False, n_views=None)
    assert kind == "pixels"
    assert reason.startswith("vit_b_16 cannot go on from a stored map")


def test_maps_are_what_the_frozen_stages_put_out(digits):
    inputs = _inputs(digits.X[:3], strategy="partial", n_trainable=1, cache=None)
    (maps,) = inputs.views
    loaded = load_backbone("tiny")
    (pixels,) = _inputs(digits.X[:3], strategy="full").views
    batch = loaded.preprocessing.normalize(torch.from_numpy(np.array(pixels)))
    with torch.inference_mode():
        expected = loaded.spec.sequence(loaded.module, 0, 4)(batch)
    np.testing.assert_allclose(maps, expected, rtol=1e-3, atol=1e-4)


def test_stored_maps_are_computed_once(digits, batches_run, empty_caches):
    for _ in range(2):
        _inputs(digits.X[:6], strategy="partial", cache="memory")
    assert sum(batches_run) == 6
    _inputs(digits.X[:6], strategy="partial", cache=None)
    assert sum(batches_run) == 12


def test_maps_of_a_module_that_was_changed_are_computed_anew(digits):
    network = nn.Sequential(*(part for _ in range(3) for part in (nn.Conv2d(3, 3, 3), nn.ReLU())))
    settings = training_settings(FineTuneClassifier(network, precision="float32", num_workers=0))
    views = []
    for activation in (nn.ReLU(), nn.Tanh()):
        network[1] = activation
        loaded = load_backbone(network)
        preprocessing = loaded.preprocessing.with_size(32)
        inputs = compute_inputs(
            as_image_sequence(digits.X[:2]), loaded, preprocessing, settings, SEED
        )
        assert inputs.kind == "maps"
        views += inputs.views
    assert not np.allclose(*views)


def _rolled(batch):
    return batch.roll(int(torch.randint(1, 20, ())), 2)


def test_views_are_drawn_by_the_seed_and_differ_and_are_not_stored(digits, empty_caches):
    def views():
        return _inputs(digits.X[:4], strategy="frozen", augmentation=_rolled, n_views=2).views

    one, other = views(), views()
    assert len(one) == 2
    assert not np.array_equal(one[0], one[1])
    for view, same in zip(one, other, strict=True):
        np.testing.assert_array_equal(view, same)
    assert open_store("memory").info().bytes == 0


def test_an_unreadable_image_is_a_row_of_its_own(digits):
    X = [*digits.X[:2], b"no image"]
    with pytest.raises(ValueError, match="image 2 of 3"):
        _inputs(X, strategy="frozen")
    assert _inputs(X, strategy="frozen", on_error="nan").failed == [2]

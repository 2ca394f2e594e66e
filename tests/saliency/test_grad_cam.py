import numpy as np
import pytest
import torch
from sklearn.pipeline import Pipeline

from sktransfer import FineTuneClassifier, saliency_maps
from sktransfer.finetuning import FineTuneRegressor


@pytest.fixture(scope="module")
def tuned(digits):
    model = FineTuneClassifier("tiny", max_epochs=1, early_stopping=False, random_state=0)
    return model.fit(digits.X[:48], digits.y[:48])


def test_of_a_linear_head_it_is_the_positive_part_of_the_class_activation_map(tuned, digits):
    # Selvaraju et al. 2017, section 3: with an average and one linear layer, both are the same.
    found = saliency_maps(tuned, digits.X[:4], target=5)
    network = tuned.net_.module_
    weights = (network.head.weight[5] * network.standardize.inverse).detach().numpy()
    maps = []
    handle = network.backbone.layer4.register_forward_hook(lambda *args: maps.append(args[2]))
    with torch.no_grad():
        scores = network(torch.from_numpy(found.pixels))
    handle.remove()
    expected = np.einsum("c,nchw->nhw", weights, maps[0].numpy()).clip(0) / 16
    np.testing.assert_allclose(found.layer_maps["layer4"], expected, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(found.values, scores[:, 5], rtol=1e-4, atol=1e-5)
    assert found.method == "grad_cam"
    assert found.maps.shape == (4, 64, 64)
    assert expected.max() > 0


def test_it_is_about_the_predicted_class_and_leaves_the_network_as_it_was(tuned, digits):
    X = digits.X[:6]
    network = tuned.net_.module_
    before = {name: value.clone() for name, value in network.state_dict().items()}
    gradients = [p.grad if p.grad is None else p.grad.clone() for p in network.parameters()]
    training = network.training
    predicted = tuned.predict(X)
    np.testing.assert_array_equal(saliency_maps(tuned, X).targets, predicted)
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)
    for parameter, gradient in zip(network.parameters(), gradients, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=0, atol=0)
    assert network.training == training


def test_two_classes_and_a_head_with_a_hidden_layer_are_possible(digits):
    rows = digits.y < 2
    X, y = digits.X[rows][:40], np.array(["nil", "one"])[digits.y[rows][:40]]
    model = FineTuneClassifier("tiny", strategy="frozen", head="mlp", max_epochs=2, random_state=0)
    model.fit(X, y)
    for label in ("nil", "one"):
        found = saliency_maps(model, X[:8], target=label)
        assert found.targets.tolist() == [label] * 8
        assert found.maps.min() >= 0
    one, nil = (saliency_maps(model, X[:8], target=label).values for label in ("one", "nil"))
    np.testing.assert_array_equal(np.where(one > nil, "one", "nil"), model.predict(X[:8]))


def test_a_regressor_and_a_pipeline_around_a_network_are_possible(digits):
    X = digits.X[:30]
    model = FineTuneRegressor("tiny", strategy="frozen", max_epochs=1, random_state=0)
    pipeline = Pipeline([("idle", "passthrough"), ("model", model)]).fit(X, X.mean((1, 2)))
    found = saliency_maps(pipeline, X[:3])
    assert found.method == "grad_cam"
    assert found.targets.tolist() == [0, 0, 0]


def test_occlusion_explains_a_tuned_network_too(tuned, digits):
    found = saliency_maps(tuned, digits.X[:2], method="occlusion", n_cells=4)
    assert found.method == "occlusion"
    assert found.maps.shape == (2, 64, 64)
    np.testing.assert_allclose(
        found.values, tuned.decision_function(digits.X[:2]).max(1), rtol=1e-3
    )
    with pytest.raises(ValueError, match=r"does not begin with a DeepFeatureTransformer\. Pass"):
        saliency_maps(tuned, digits.X[:2], method="cam")

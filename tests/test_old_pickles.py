"""Pickles of the first version load, and predict what they predicted then.

`tests/pickles` holds estimators that version 0.1 (commit b798c70) fitted on the first 120 of the
bundled digits, `dann.pkl` on 60 of each domain, and what they gave for images 200 to 209.
"""

import pickle
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parent / "pickles"


@pytest.mark.parametrize("name", ["pipeline", "classifier", "regressor", "dann"])
def test_an_old_pickle_predicts_as_it_did(name, digits):
    model = pickle.loads((FOLDER / f"{name}.pkl").read_bytes())
    predict = getattr(model, "predict_proba", None) or model.predict
    expected = np.load(FOLDER / f"{name}.npy")
    # They were computed in bfloat16 on one kind of processor, and others round in another order.
    np.testing.assert_allclose(predict(digits.X[200:210]), expected, rtol=0.02, atol=0.002)


@pytest.mark.parametrize("name", ["classifier", "regressor", "dann"])
def test_an_old_pickle_is_pickled_by_its_new_names(name):
    model = pickle.loads((FOLDER / f"{name}.pkl").read_bytes())
    again = pickle.dumps(model)
    assert b"finetuning.t" not in again
    assert b"LabelCoder" not in again
    assert len(pickle.loads(again).net_.module_.state_dict()) > 4


def test_an_old_pickle_can_be_trained_further(digits):
    model = pickle.loads((FOLDER / "classifier.pkl").read_bytes())
    before = model.predict_proba(digits.X[200:210])
    model.partial_fit(digits.X[:120], digits.y[:120])
    assert not np.allclose(model.predict_proba(digits.X[200:210]), before)

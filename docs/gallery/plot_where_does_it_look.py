"""
Where does it look?
===================

Which places of an image speak for the predicted class? For pooled features under a linear classifier,
also behind a scaler and a projection, the map is exact: with a constant it adds up to the decision value.
"""

import numpy as np
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktransfer import DeepFeatureTransformer, SaliencyDisplay
from sktransfer.datasets import load_digit_masks

data = load_digit_masks()
alone = [row for row, mask in enumerate(data.y) if len(np.unique(mask)) == 2]  # a single digit
X = data.X[alone]
y = np.array([0, 0, 1, 7])[[mask.max() for mask in data.y[alone]]]
features = DeepFeatureTransformer("tiny", image_size=96, pooling="avgmax")
model = make_pipeline(features, StandardScaler(), PCA(50), LogisticRegression(C=0.01))
model.fit(X[:-4], y[:-4])
display = SaliencyDisplay.from_estimator(model, X[-4:], y[-4:])

# %%
# The parts add up:
maps = display.saliency
np.abs(maps.maps.sum(axis=(1, 2)) + maps.constants - maps.values).max()

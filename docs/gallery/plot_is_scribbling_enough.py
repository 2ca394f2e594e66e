"""
Is scribbling enough?
=====================

A mask in which most pixels say "unknown" is a scribble. Here one pixel in fifty keeps its label, which is
what a few strokes of a brush give, and any classifier of scikit-learn learns from the features of these.
"""

import numpy as np
from sklearn.linear_model import LogisticRegression

from sktransfer import PixelClassifier, SegmentationDisplay
from sktransfer.datasets import load_digit_masks

data = load_digit_masks()
kept = np.random.default_rng(0).random(data.y[:60].shape) < 0.02
scribbles = np.where(kept, data.y[:60], 255)
model = PixelClassifier(
    LogisticRegression(C=0.01, max_iter=200),
    backbone="tiny",
    image_size=128,
    unlabeled=255,
    random_state=0,
)
model.fit(data.X[:60], scribbles)
display = SegmentationDisplay.from_estimator(model, data.X[100:106], data.y[100:106])
print(f"mean IoU on images that took no part: {model.score(data.X[100:140], data.y[100:140]):.2f}")

"""
Do my classes come apart?
=========================

Images as points in a plane, near each other where their features are alike. Classes that lie on top
of each other here can still be told apart in all dimensions; classes that are apart here are easy.
"""

from sktransfer import DeepFeatureTransformer, EmbeddingDisplay
from sktransfer.datasets import load_digit_images

X, y = load_digit_images(return_X_y=True)
features = DeepFeatureTransformer("tiny")
display = EmbeddingDisplay.from_estimator(features, X[:300], y[:300], method="tsne")

"""
Which layer tells most?
=======================

The last stage of a network knows what its training classes needed, earlier ones know edges, colours
and textures. Which of them your images need is a question of a moment, because an image passes
through the network once for all of them.
"""

from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktransfer import DeepFeatureTransformer, LayerSweepDisplay
from sktransfer.datasets import load_digit_images

X, y = load_digit_images(return_X_y=True)
X, y = X[:300], y[:300]
model = make_pipeline(DeepFeatureTransformer("tiny"), StandardScaler(), LogisticRegression(C=0.01))
display = LayerSweepDisplay.from_estimator(model, X, y, cv=3)

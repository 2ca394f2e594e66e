"""
Which layer tells most?
=======================

The last stage of a network knows what its training classes needed; earlier ones know edges, colours
and textures. All stages and two poolings are scored here on the same folds. An image passes through
the network once for all of them.
"""

from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktransfer import DeepFeatureTransformer, LayerSweepDisplay
from sktransfer.datasets import load_digit_domains

domains = load_digit_domains()
X, y = domains.X_target[:300], domains.y_target[:300]
head = LogisticRegression(C=0.01, max_iter=1000)
model = make_pipeline(DeepFeatureTransformer("tiny"), StandardScaler(), head)
display = LayerSweepDisplay.from_estimator(model, X, y, cv=3)

# %%
# The line ends where the network does. If an earlier stage wins, take it by ``layers=-2``, or put two
# side by side: ``layers=[-2, -1]``.
display.best

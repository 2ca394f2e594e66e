"""
Which images look alike?
========================

Features are vectors, so the nearest neighbours of scikit-learn find similar images, without a label and
without training.
"""

import matplotlib.pyplot as plt
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import normalize

from sktransfer import DeepFeatureTransformer
from sktransfer.datasets import load_digit_domains

X = load_digit_domains().X_target
vectors = normalize(DeepFeatureTransformer("tiny", layers=-2, pooling="avg").fit_transform(X))
index = NearestNeighbors(n_neighbors=7).fit(vectors)
rows = [5, 50, 500]
_, nearest = index.kneighbors(vectors[rows])

# %%
# Each row begins with the image that was asked for.
figure, panels = plt.subplots(3, 7, figsize=(8, 3.6), layout="constrained")
for panel, row in zip(panels.flat, nearest.flat, strict=True):
    panel.imshow(X[row])
    panel.axis("off")

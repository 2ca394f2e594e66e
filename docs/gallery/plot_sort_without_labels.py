"""
Can it sort images without any label?
=====================================

Clusters of features are a first sorting of a folder that nobody has looked at. How far they agree with
classes depends on what the network knows; here the true labels tell afterwards.
"""

import matplotlib.pyplot as plt
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktransfer import DeepFeatureTransformer
from sktransfer.datasets import load_digit_images

X, y = load_digit_images(return_X_y=True)
X, y = X[:600], y[:600]
model = make_pipeline(
    DeepFeatureTransformer("tiny"), StandardScaler(), PCA(30), KMeans(10, n_init=5, random_state=0)
)
clusters = model.fit_predict(X)
print(f"agreement with the classes (adjusted Rand): {adjusted_rand_score(y, clusters):.2f}")

# %%
# Eight images of each cluster:
figure, panels = plt.subplots(10, 8, figsize=(5, 6), layout="constrained")
for cluster, row in enumerate(panels):
    for image, panel in zip(X[clusters == cluster], row, strict=False):
        panel.imshow(image, cmap="gray")
    for panel in row:
        panel.axis("off")

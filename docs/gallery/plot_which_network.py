"""
Which network suits my images?
==============================

Networks are ranked by how well a linear model explains the labels by their features (LogME). Nothing
is trained, and each image passes through each network once. Two stages of the bundled network and an
untrained copy stand here for the names that you would give, such as ``["resnet50", "mobilenet_v2"]``.
"""

from sktransfer import DeepFeatureTransformer, rank_backbones
from sktransfer.datasets import load_digit_domains

domains = load_digit_domains()
X, y = domains.X_target[:300], domains.y_target[:300]
networks = {
    "tiny": "tiny",
    "tiny, the stage before": DeepFeatureTransformer("tiny", layers=-2),
    "tiny, larger input": DeepFeatureTransformer("tiny", image_size=96),
    "untrained": DeepFeatureTransformer("tiny", weights="random", random_state=0),
}
table = rank_backbones(X, y, backbones=networks)
table[["backbone", "score", "width", "parameters", "licence"]]

# %%
import matplotlib.pyplot as plt

figure, axes = plt.subplots(figsize=(6, 2.6), layout="constrained")
axes.plot(table["score"], table["backbone"], "o")
axes.invert_yaxis()
axes.set(xlabel="LogME, higher is better")
axes.grid(axis="x", alpha=0.3)

"""
Are several layers better together?
===================================

A classifier on each layer, and a vote or a stacked classifier over them. Images pass through the network
once for all. Often the best layer alone is as good, so it is among the candidates.
"""

import matplotlib.pyplot as plt
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktransfer import DeepFeatureTransformer, layer_ensemble
from sktransfer.datasets import load_digit_domains

domains = load_digit_domains()
X, y = domains.X_target[:240], domains.y_target[:240]
head = LogisticRegression(C=0.01, max_iter=1000)
candidates = {
    "last stage": make_pipeline(DeepFeatureTransformer("tiny", layers=-1), StandardScaler(), head),
    "stage before": make_pipeline(
        DeepFeatureTransformer("tiny", layers=-2), StandardScaler(), head
    ),
    "vote of both": layer_ensemble("tiny", layers=[-2, -1], combine="vote"),
    "stack of both": layer_ensemble("tiny", layers=[-2, -1], combine="stack", cv=3),
}
scores = {name: cross_val_score(model, X, y, cv=3) for name, model in candidates.items()}

# %%
figure, axes = plt.subplots(figsize=(6, 2.4), layout="constrained")
axes.boxplot(list(scores.values()), orientation="horizontal", tick_labels=list(scores))
axes.invert_yaxis()
axes.set(xlabel="Accuracy of three folds")

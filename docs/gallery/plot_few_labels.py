"""
A hundred labels and many images: do the others help?
=====================================================

Images without labels can help, and can do harm. Folds of the labelled ones tell which: each candidate is
scored on labels that it has not seen, and trains on everything else, labelled or not.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktransfer import (
    DeepFeatureTransformer,
    LabeledClassifier,
    LabeledFold,
    NeighborSelfTrainingClassifier,
    NeighborSmoother,
)
from sktransfer.datasets import load_digit_domains

domains = load_digit_domains()
X = domains.X_target
y = np.where(np.arange(len(X)) < 100, domains.y_target, -1)  # labels for the first hundred
features = make_pipeline(DeepFeatureTransformer("tiny"), StandardScaler())
head = LogisticRegression(C=0.01, max_iter=1000)
candidates = {
    "features as they are": make_pipeline(features, LabeledClassifier(head)),
    "neighbours": make_pipeline(features, NeighborSmoother(), LabeledClassifier(head)),
    "self-training": make_pipeline(features, NeighborSelfTrainingClassifier()),
}
folds = LabeledFold(4, random_state=0)
scores = {name: cross_val_score(model, X, y, cv=folds) for name, model in candidates.items()}

# %%
figure, axes = plt.subplots(figsize=(6, 2.2), layout="constrained")
axes.boxplot(list(scores.values()), orientation="horizontal", tick_labels=list(scores))
axes.invert_yaxis()
axes.set(xlabel="Accuracy of four folds")

"""
Does it work on the other camera?
=================================

Labels of clean digits, and digits on photographs without labels: a classifier of the first is worse on the
second. Four ways to a classifier of stored features, from nothing done to :class:`~sktransfer.DANNClassifier`, which
learns to make the two indistinguishable. An adaptation that is not better than the simple ones is not worth its
minutes; it is better to let the network itself adapt (see :doc:`../adaptation`).
"""

import matplotlib.pyplot as plt
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import scale

from sktransfer import (
    DANNClassifier,
    DeepFeatureTransformer,
    DomainAlignedClassifier,
    DomainsDisplay,
)
from sktransfer.datasets import load_digit_domains

domains = load_digit_domains()
features = DeepFeatureTransformer("tiny")
source, target = features.transform(domains.X_source), features.transform(domains.X_target)
seen, held_out = target[:449], target[449:]  # half of the target takes no part
labels, answer = domains.y_source, domains.y_target[449:]

head = LogisticRegression(C=0.01, max_iter=1000)
scores = {"source alone": head.fit(source, labels).score(held_out, answer)}
for method in ("standardize", "coral"):
    aligned = DomainAlignedClassifier(head, method=method).fit(source, labels, X_target=seen)
    scores[method] = aligned.score(held_out, answer)
adapted = DANNClassifier(None, max_epochs=30, random_state=0)
adapted.fit(scale(source), labels, X_target=scale(target)[:449])
scores["DANN"] = adapted.score(scale(target)[449:], answer)

figure, axes = plt.subplots(figsize=(6, 2.2), layout="constrained")
axes.barh(list(scores), list(scores.values()))
axes.invert_yaxis()
axes.set(xlim=(0, 1), xlabel="Accuracy on the other camera")

# %%
# Features of both domains before and after. Labels of the target served only to score.
display = DomainsDisplay.from_estimator(adapted, source[:300], target[:300])

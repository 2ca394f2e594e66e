"""
Does it work on the other camera?
=================================

Labels of clean digits, and digits on photographs without labels: a classifier of the first is worse on the
second. To standardise each domain by itself helps, and :class:`~sktransfer.DANNClassifier`, which also learns to
make the two indistinguishable, helps more. Here it learns on stored features, which takes seconds; it is better
to let the network itself adapt (see :doc:`../adaptation`).
"""

import matplotlib.pyplot as plt
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import scale

from sktransfer import DANNClassifier, DeepFeatureTransformer, DomainsDisplay
from sktransfer.datasets import load_digit_domains

domains = load_digit_domains()
features = DeepFeatureTransformer("tiny")
source, target = features.transform(domains.X_source), features.transform(domains.X_target)
seen, held_out = slice(0, 449), slice(449, None)  # half of the target takes no part

head = LogisticRegression(C=0.01, max_iter=1000)
adapted = DANNClassifier(None, max_epochs=30, random_state=0)
adapted.fit(scale(source), domains.y_source, X_target=scale(target)[seen])
answer = domains.y_target[held_out]
scores = {
    "source alone": head.fit(source, domains.y_source).score(target[held_out], answer),
    "each standardised": head.fit(scale(source), domains.y_source).score(
        scale(target)[held_out], answer
    ),
    "adapted": adapted.score(scale(target)[held_out], answer),
}
figure, axes = plt.subplots(figsize=(6, 2), layout="constrained")
axes.barh(list(scores), list(scores.values()))
axes.invert_yaxis()
axes.set(xlim=(0, 1), xlabel="Accuracy on the other camera")

# %%
# Features of both domains before and after. Labels of the target served only to score.
display = DomainsDisplay.from_estimator(adapted, source[:300], target[:300])

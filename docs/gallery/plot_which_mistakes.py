"""
Which images does it get wrong, and how sure is it?
===================================================

Predictions for images of a fold that the model has not seen: whom it takes for whom, and its surest
mistakes. Those are worth a look before anything else, because some of them are wrong labels.
"""

import matplotlib.pyplot as plt
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import ConfusionMatrixDisplay
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktransfer import DeepFeatureTransformer
from sktransfer.datasets import load_digit_domains

domains = load_digit_domains()
X, y = domains.X_target[:400], domains.y_target[:400]
features = DeepFeatureTransformer("tiny", layers=[-2, -1], pooling="max")
model = make_pipeline(features, StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
probabilities = cross_val_predict(model, X, y, cv=5, method="predict_proba")
predicted = probabilities.argmax(axis=1)
display = ConfusionMatrixDisplay.from_predictions(y, predicted, colorbar=False)

# %%
wrong = (predicted != y).nonzero()[0]
surest = wrong[probabilities[wrong].max(axis=1).argsort()[::-1][:6]]
figure, panels = plt.subplots(1, 6, figsize=(9, 2), layout="constrained")
for row, panel in zip(surest, panels, strict=True):
    panel.imshow(X[row])
    share = probabilities[row].max()
    panel.set_title(f"{y[row]}, taken for {predicted[row]}\n({share:.0%})", fontsize=9)
    panel.axis("off")

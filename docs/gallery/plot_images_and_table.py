"""
Images and a table, in one model?
=================================

A column of paths joins the other columns of a table. ``ColumnTransformer`` gives each its treatment, and the
head sees all of them side by side.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from PIL import Image
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from sktransfer import DeepFeatureTransformer
from sktransfer.datasets import load_digit_images

X, y = load_digit_images(return_X_y=True)
X, y = X[:200], y[:200]
folder = Path(tempfile.mkdtemp())  # files for this example; yours are there already
paths = [str(folder / f"{row}.png") for row in range(len(X))]
for path, image in zip(paths, X, strict=True):
    Image.fromarray(image).save(path)
table = pd.DataFrame({"photo": paths, "ink": X.mean(axis=(1, 2)), "pen": ["a", "b"] * 100})

columns = ColumnTransformer(
    [
        ("image", make_pipeline(DeepFeatureTransformer("tiny"), StandardScaler()), ["photo"]),
        ("number", StandardScaler(), ["ink"]),
        ("category", OneHotEncoder(), ["pen"]),
    ]
)
model = make_pipeline(columns, LogisticRegression(C=0.01, max_iter=1000))
model

# %%
alone = make_pipeline(clone(columns).set_params(image="drop"), LogisticRegression(max_iter=1000))
scores = {"table": cross_val_score(alone, table, y, cv=5)}
scores["images and table"] = cross_val_score(model, table, y, cv=5)
figure, axes = plt.subplots(figsize=(6, 1.8), layout="constrained")
axes.boxplot(list(scores.values()), orientation="horizontal", tick_labels=list(scores))
axes.invert_yaxis()
axes.set(xlim=(0, 1), xlabel="Accuracy of five folds")

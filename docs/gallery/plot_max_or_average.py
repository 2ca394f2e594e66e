"""
Maximum or average?
===================

A layer gives a map with one vector for each place in the image, and pooling makes one vector of it.
The average says how much of a pattern there is, the maximum whether it is anywhere. A digit on a
photograph is somewhere, so the search decides for the maximum.
"""

from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from sktransfer import DeepFeatureTransformer
from sktransfer.datasets import load_digit_domains

domains = load_digit_domains()
X, y = domains.X_target[:300], domains.y_target[:300]
pipeline = Pipeline(
    [
        ("features", DeepFeatureTransformer("tiny")),
        ("scale", StandardScaler()),
        ("head", LogisticRegression(C=0.01, max_iter=1000)),
    ]
)
poolings = ["avg", "max", "avgmax", "gem"]
search = GridSearchCV(pipeline, {"features__pooling": poolings}, cv=5).fit(X, y)

# %%
import matplotlib.pyplot as plt

figure, axes = plt.subplots(figsize=(6, 2.8), layout="constrained")
axes.barh(
    poolings, search.cv_results_["mean_test_score"], xerr=search.cv_results_["std_test_score"]
)
axes.invert_yaxis()
axes.set(xlabel="Accuracy, mean and spread of five folds", title="Pooling of the last stage")

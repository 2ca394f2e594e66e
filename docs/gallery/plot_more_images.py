"""
Would more images help?
=======================

Scores of folds at growing numbers of training images, and the trend of the last three: what twice as
many images would change at most, because curves flatten. The network sees each image once.
"""

from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktransfer import DeepFeatureTransformer, FeatureLearningCurveDisplay
from sktransfer.datasets import load_digit_domains

domains = load_digit_domains()
X, y = domains.X_target[:400], domains.y_target[:400]
head = LogisticRegression(C=0.01, max_iter=1000)
model = make_pipeline(DeepFeatureTransformer("tiny"), StandardScaler(), head)
curve = FeatureLearningCurveDisplay.from_estimator(model, X, y, cv=3)
print(curve.verdict)

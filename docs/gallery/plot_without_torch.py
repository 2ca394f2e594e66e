"""
Does it run where there is no torch?
====================================

A fitted model, from resizing to the label, becomes one ONNX file; what labels a photograph then needs
``onnxruntime``, ``numpy`` and ``pillow`` alone. It is written only if ONNX Runtime gives what the model gives.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import onnxruntime
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktransfer import DeepFeatureTransformer, export_onnx
from sktransfer.datasets import load_digit_domains

domains = load_digit_domains()
X, y = domains.X_source[:300], domains.y_source[:300]
head = LogisticRegression(C=0.01, max_iter=1000)
model = make_pipeline(DeepFeatureTransformer("tiny"), StandardScaler(), head)
path = Path(tempfile.mkdtemp()) / "model.onnx"
print(export_onnx(model.fit(X, y), path))

# %%
session = onnxruntime.InferenceSession(path)
labels, probabilities = session.run(None, {"images": domains.X_source[300:306]})
figure, panels = plt.subplots(1, 6, figsize=(9, 2), layout="constrained")
for row, panel in enumerate(panels):
    panel.imshow(domains.X_source[300 + row])
    panel.set_title(f"{labels[row]} ({probabilities[row].max():.0%})", fontsize=9)
    panel.axis("off")

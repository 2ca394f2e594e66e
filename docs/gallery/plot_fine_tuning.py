"""
How does fine-tuning go?
========================

The last stage and a new head train; what comes before is frozen and runs once an image. The history
says how it went: training stops early when images that were held out say so, and the best weights
come back.
"""

import matplotlib.pyplot as plt
import pandas as pd

from sktransfer import FineTuneClassifier
from sktransfer.datasets import load_digit_domains

domains = load_digit_domains()
X, y = domains.X_target, domains.y_target
model = FineTuneClassifier("tiny", strategy="partial", max_epochs=8, image_size=48, random_state=0)
model.fit(X[:400], y[:400])
print(f"accuracy on images that took no part: {model.score(X[400:600], y[400:600]):.2f}")

# %%
history = pd.DataFrame(list(model.history_))
figure, axes = plt.subplots(figsize=(6, 3), layout="constrained")
axes.plot(history["epoch"], history["train_loss"], label="training")
axes.plot(history["epoch"], history["valid_loss"], label="held out")
axes.set(xlabel="Epoch", ylabel="Loss")
axes.legend()

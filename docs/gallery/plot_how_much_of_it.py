"""
Can it predict a number?
========================

Age, weight, a share: :class:`~sktransfer.FineTuneRegressor` predicts one number or several. Here the
network learns how much of a photograph is covered by digits.
"""

import matplotlib.pyplot as plt
import numpy as np

from sktransfer import FineTuneRegressor
from sktransfer.datasets import load_digit_masks

data = load_digit_masks()
y = np.array([(mask > 0).mean() for mask in data.y])  # share of pixels
model = FineTuneRegressor(
    "tiny", strategy="frozen", pooling="avg", max_epochs=60, patience=15, random_state=0
)
model.fit(data.X[:220], y[:220])
predicted = model.predict(data.X[220:])

# %%
figure, axes = plt.subplots(figsize=(4, 4), layout="constrained")
axes.plot([0, y.max()], [0, y.max()], color="grey", linewidth=1)
axes.plot(y[220:], predicted, "o", alpha=0.6)
axes.set(xlabel="True share", ylabel="Predicted share")
axes.set(title=f"R² of {model.score(data.X[220:], y[220:]):.2f} on images that took no part")

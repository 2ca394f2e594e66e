"""
Which labels are wrong?
=======================

A classifier that has not seen an image and confidently disagrees with its label is worth listening to.
Ten labels are changed here on purpose. Look at what is suspected before you change it: hard images are
among them.
"""

import matplotlib.pyplot as plt
import numpy as np

from sktransfer import audit_images
from sktransfer.datasets import load_digit_images

X, y = load_digit_images(return_X_y=True)
X, y = X[:300], y[:300].copy()
changed = np.random.default_rng(0).choice(300, size=10, replace=False)
y[changed] = (y[changed] + 1) % 10
audit = audit_images(X, y, backbone="tiny")
suspects = audit[audit["suspect_label"]]
print(f"{len(suspects)} suspects, {np.isin(suspects.index, changed).sum()} of the 10 among them")

# %%
figure, panels = plt.subplots(1, 6, figsize=(9, 2.1), layout="constrained")
for (row, image), panel in zip(suspects[:6].iterrows(), panels, strict=True):
    panel.imshow(X[row], cmap="gray")
    panel.set_title(f"label {image['label']},\nrather {image['suggested_label']}", fontsize=9)
    panel.axis("off")

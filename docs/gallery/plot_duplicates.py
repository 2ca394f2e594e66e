"""
Are there duplicates?
=====================

The same picture in a training fold and in a test fold makes a score too good. Copies are found by their
features, also saved again or resized, and ``group`` keeps them together in any splitter with groups.
"""

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

from sktransfer import audit_images
from sktransfer.datasets import load_digit_domains

X = list(load_digit_domains().X_target[:120])
X[40] = X[3]  # the same image twice,
smaller = Image.fromarray(X[7]).resize((24, 24))  # and one that was resized
X[90] = np.asarray(smaller)
audit = audit_images(X, backbone="tiny")
copies = audit[(audit["exact_group"] >= 0) | (audit["near_group"] >= 0)]
copies[["exact_group", "near_group", "nearest", "similarity", "leaks"]]

# %%
figure, panels = plt.subplots(1, len(copies), figsize=(2 * len(copies), 2.2), layout="constrained")
for row, panel in zip(copies.sort_values("group").index, panels, strict=True):
    panel.imshow(X[row])
    panel.set_title(f"image {row}, group {audit['group'][row]}", fontsize=9)
    panel.axis("off")

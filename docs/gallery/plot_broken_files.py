"""
What if some files are broken?
==============================

An image that cannot be read stops the run, and the error names it. With ``on_error="nan"`` its row is filled
with NaN and listed, and the number of rows never changes.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

from sktransfer import DeepFeatureTransformer
from sktransfer.datasets import load_digit_images
from sktransfer.exceptions import ImageDecodeError

folder = Path(tempfile.mkdtemp())
paths = [folder / f"{row}.png" for row in range(5)]
for path, image in zip(paths, load_digit_images().X, strict=False):
    Image.fromarray(image).save(path)
paths[3].write_bytes(paths[3].read_bytes()[:60])  # half a file
try:
    DeepFeatureTransformer("tiny").fit_transform(paths)
except ImageDecodeError as error:
    print(str(error).replace(f"{folder}/", ""))

# %%
features = DeepFeatureTransformer("tiny", on_error="nan")
vectors = features.fit_transform(paths)
print(vectors.shape, features.failed_)
figure, axes = plt.subplots(figsize=(6, 2), layout="constrained")
axes.imshow(np.isnan(vectors), aspect="auto", cmap="Greys")
axes.set(xlabel="Feature", ylabel="Image", title="Black: no value")

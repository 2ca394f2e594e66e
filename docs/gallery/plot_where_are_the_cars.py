"""
Where are the cars?
===================

A network that was trained to classify labels every pixel: its classifier is given up, and a decoder brings
its small maps back to the size of the image. Digits on photographs stand here for cars on streets.
"""

from sktransfer import FineTuneSegmenter, MaskScorer, SegmentationDisplay, find_regions
from sktransfer.datasets import load_digit_masks

data = load_digit_masks()
model = FineTuneSegmenter(
    "tiny",
    strategy="frozen",
    head="fpn",
    image_size=128,
    max_epochs=8,
    lr=1e-2,
    batch_size=4,
    random_state=0,
)
model.fit(data.X[:120], data.y[:120])
display = SegmentationDisplay.from_estimator(model, data.X[120:126], data.y[120:126])

# %%
# Mean IoU over all classes, and the IoU of the zeros alone, on images that took no part:
masks = model.predict(data.X[120:180])
for label in (None, 1):
    print(label, round(MaskScorer(label=label).measure(data.y[120:180], masks), 2))

# %%
# Boxes, areas and how many there are:
find_regions(masks, labels=[1, 2, 3], min_pixels=20).head()

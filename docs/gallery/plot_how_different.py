"""
How different are two cameras?
==============================

Before anything is adapted: can a linear classifier tell by the features which camera an image is from?
The proxy A-distance is 0 where it cannot, and 2 where it always can.
"""

import matplotlib.pyplot as plt
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktransfer import DeepFeatureTransformer, proxy_a_distance
from sktransfer.datasets import load_digit_domains

domains = load_digit_domains()
source, target = domains.X_source[:200], domains.X_target[:200]
inverted = 255 - source
features = make_pipeline(DeepFeatureTransformer("tiny", image_size=32), StandardScaler())
features.fit(source)
distances = {
    "the same camera": proxy_a_distance(features, source, domains.X_source[200:400]),
    "white on black, black on white": proxy_a_distance(features, source, inverted),
    "on black, on photographs": proxy_a_distance(features, source, target),
}

# %%
figure, axes = plt.subplots(figsize=(6, 2.2), layout="constrained")
axes.barh(list(distances), list(distances.values()))
axes.invert_yaxis()
axes.set(xlim=(0, 2), xlabel="Proxy A-distance")

"""
Which strategy of transfer?
===========================

Raw pixels, features under three classifiers, and the network itself tuned in four ways, on the same
folds, seeds and budget. Here are four of them, on small images and with few epochs, so that this page is
made in seconds; leave all but ``X`` and ``y`` out for your own images.
"""

from sktransfer import audit_images, compare_strategies
from sktransfer.datasets import load_digit_domains

domains = load_digit_domains()
X, y = domains.X_target[:200], domains.y_target[:200]
comparison = compare_strategies(
    X,
    y,
    candidates=[
        "raw pixels + logistic regression",
        "features + logistic regression",
        "frozen",
        "partial",
    ],
    backbone="tiny",
    layers=[-1],
    image_size=40,
    cv=5,
    max_epochs=5,
)
display = comparison.plot()

# %%
# In a notebook, the last line of a cell shows the answer in words:
comparison

# %%
# The same as one page to send to a colleague, with plots, examples, mistakes and the code that makes
# the winner again. It is `here <../live/report.html>`__.
comparison.to_html("report.html", X, y, audit=audit_images(X, y, backbone="tiny"))

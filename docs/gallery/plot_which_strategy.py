"""
Which strategy of transfer?
===========================

Raw pixels, features under three classifiers, and the network itself tuned in four ways, on the same
folds, seeds and budget. Here are four of them, few epochs and two folds, so that this page is made
in seconds; leave ``candidates``, ``max_epochs`` and ``cv`` out for your own images.
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
    cv=2,
    max_epochs=6,
)
display = comparison.plot()

# %%
# In a notebook, the last line of a cell shows the answer in words:
comparison

# %%
# The same as one page to send to a colleague, with plots, examples, mistakes and the code that makes
# the winner again. It is `here <../live/report.html>`__.
comparison.to_html("report.html", X, y, audit=audit_images(X, y, backbone="tiny"))

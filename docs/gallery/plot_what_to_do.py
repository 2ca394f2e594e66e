"""
What should I do with my images?
================================

The rule of thumb of transfer learning asks two things: how many images there are, and how similar
they are to what the network knows. Both are measured here, and the answer says why.
"""

from sktransfer import recommend_strategy
from sktransfer.datasets import load_digit_domains

domains = load_digit_domains()
advice = recommend_strategy(domains.X_target[:150], domains.y_target[:150], backbone="tiny")
print(advice)

# %%
# What was measured is there as numbers, too: accuracies over folds of a linear classifier.
import matplotlib.pyplot as plt

bars = {
    "always the largest class": advice.figures["chance"],
    "raw pixels": advice.figures["pixels_accuracy"],
    "last stage": advice.figures["last_accuracy"],
    "best stage": advice.figures["best_accuracy"],
}
figure, axes = plt.subplots(figsize=(6, 2.4), layout="constrained")
axes.barh(list(bars), list(bars.values()))
axes.invert_yaxis()
axes.set(xlim=(0, 1), xlabel="Accuracy")

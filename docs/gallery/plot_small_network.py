"""
Can a small network learn from a large one?
===========================================

The last stage of a small network learns the vectors of a better one, by images without labels. A few labels
tell first whether the teacher is better at all. Both are the bundled network here; the teacher sees sixteen
times the pixels.
"""

import matplotlib.pyplot as plt
import numpy as np

from sktransfer import DeepFeatureTransformer, DistilledFeatureTransformer
from sktransfer.datasets import load_digit_domains

digits = load_digit_domains()
X = digits.X_source
y = np.where(np.arange(len(X)) < 200, digits.y_source, -1)
teacher = DeepFeatureTransformer("tiny", image_size=64)
small = DistilledFeatureTransformer(
    "tiny", image_size=16, teacher=teacher, max_epochs=8, random_state=0
)
small.fit(X, y)

# %%
scores = {
    "teacher": small.teacher_score_,
    "before": small.student_score_,
    "after": small.distilled_score_,
}
figure, axes = plt.subplots(figsize=(5, 2.2), layout="constrained")
axes.barh(list(scores), list(scores.values()))
axes.invert_yaxis()
axes.set(xlim=(0.5, 1), xlabel="Accuracy over folds of 200 labels")

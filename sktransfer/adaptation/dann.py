"""`DANNClassifier`: features from which classes can be told, and domains cannot."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from sktransfer.adaptation.alignments import Alternating, Reversal
from sktransfer.adaptation.estimator import AdaptedClassifier
from sktransfer.adaptation.heads import check_domain_head
from sktransfer.adaptation.serving import refuse_unread
from sktransfer.docstrings import documented
from sktransfer.parameters import checked, choice

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import ArrayLike, NDArray
    from torch import nn

    from sktransfer.adaptation.alignments import Alignment
    from sktransfer.adaptation.heads import TwoHeads

__all__ = ["DANNClassifier"]


@documented
@dataclass(kw_only=True, eq=False, repr=False)
class DANNClassifier(AdaptedClassifier):
    """A network adapted from labelled images of a source to unlabelled images of a target.

    Domain-adversarial training [1]_: a second head learns to tell the two domains apart, and the
    features learn the opposite, so that what the class head has learned on the source holds on the
    target.

    Rows of the target are those whose label is `unlabeled`, so that pipelines, cross-validation and
    searches work as they are; or `sample_domain` tells the domain of each row. In a search, choose
    by :class:`~sktransfer.UnsupervisedScorer`: labels of the target must not be looked at.

    The last epoch counts, and lambda and rates follow the steps of the whole training, so a longer
    `max_epochs` is another training and not the same one continued.

    Parameters
    ----------
    algorithm : {"reversal", "alternating"}, default="reversal"
        One step for all, in which the gradient of the domain head is reversed; or two in turn: the
        domain head learns the domains, then features and class head learn the classes together
        with exchanged domains, while the domain head stays as it is. The domain head itself learns
        at its full rate, and the losses of both domains are added, as in [1]_.
    domain_head : tuple of int or callable, default=(1024, 1024)
        Widths of the hidden layers of the domain head; or a function (in_features, out_features) that
        returns a module which gives logits.
    conditional : bool, default=False
        Whether the domain head sees each row's predicted probabilities beside its features, so that
        classes are brought together and not the domains as a whole [2]_.

    See Also
    --------
    DeepCORALClassifier : Aligns covariances instead.
    MMDClassifier : Aligns means in a kernel's space instead.
    UnsupervisedScorer : Scores models without labels of the target.
    DomainsDisplay : Draws both domains before and after.

    References
    ----------
    .. [1] Ganin et al., "Domain-adversarial training of neural networks", JMLR 17(59), 2016.
    .. [2] Long, Cao, Wang, Jordan, "Conditional adversarial domain adaptation", NeurIPS 2018, without
       its weights of certain rows.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import make_blobs
    >>> source, y = make_blobs(200, centers=[(-3, 0), (3, 0)], random_state=0)
    >>> target = make_blobs(200, centers=[(-3, 9), (3, 9)], random_state=1)[0]
    >>> X, marked = np.concatenate([source, target]), np.concatenate([y, np.full(200, -1)])
    >>> model = DANNClassifier(None, bottleneck=16, domain_head=(32,), random_state=0)
    >>> model.fit(X, marked).predict(target).shape
    (200,)
    >>> model.classes_, model.domains_
    (array([0, 1]), array([ 1, -2]))
    """

    algorithm: str = checked("reversal", choice("reversal", "alternating"))
    domain_head: Sequence[int] | Callable[[int, int], nn.Module] = checked(
        (1024, 1024), lambda _, value: check_domain_head(value)
    )
    conditional: bool = False

    def predict_domain(
        self, X: object, sample_domain: ArrayLike | None = None
    ) -> NDArray[np.int64]:
        """Name the domain that the domain head takes each row for.

        Parameters
        ----------
        X, sample_domain
            As in `predict_proba`.

        Returns
        -------
        ndarray of shape (n_rows,), dtype int64
            Numbers from `domains_`.

        Raises
        ------
        ImageDecodeError
            If an image cannot be read, whatever `on_error` says, because no domain stands for that.
        """
        hidden = self._hidden(X, sample_domain)
        refuse_unread(hidden, "no domain stands for that. Leave it out")
        head = self._head
        assert head.domain is not None
        with torch.inference_mode():
            rows = torch.from_numpy(hidden)
            scores = head.domain(head.joined(rows, head.label(rows))).numpy()
        place = (scores[:, 0] > 0).astype(int) if scores.shape[1] == 1 else scores.argmax(1)
        domains: NDArray[np.int64] = self.domains_[place]
        return domains

    def _alignment(self) -> Alignment:
        return Alternating() if self.algorithm == "alternating" else Reversal()

    def _two_heads(self, n_domains: int) -> TwoHeads:
        return replace(
            super()._two_heads(n_domains),
            domain_head=check_domain_head(self.domain_head),
            conditional=bool(self.conditional),
        )

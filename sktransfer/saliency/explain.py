"""`saliency_maps`: the best method that an estimator allows, behind one call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sklearn.pipeline import Pipeline

from sktransfer.features.pipelines import split_pipeline
from sktransfer.images.unreadable import every_image_is_needed
from sktransfer.parameters import check_choice, check_integer
from sktransfer.saliency.activation import activation_maps
from sktransfer.saliency.affine import NotAffine
from sktransfer.saliency.gradients import gradient_maps, tuned_network
from sktransfer.saliency.occlusion import occlusion_maps

if TYPE_CHECKING:
    from sktransfer.saliency.maps import SaliencyMaps

__all__ = ["saliency_maps"]

_METHODS = ("auto", "cam", "grad_cam", "occlusion")


@every_image_is_needed()
def saliency_maps(
    estimator: object, X: object, *, target: object = None, method: str = "auto", n_cells: int = 8
) -> SaliencyMaps:
    """Show where in images an estimator sees what it decides by.

    Parameters
    ----------
    estimator : estimator
        Fitted, of images: a Pipeline, a fine-tuned network, or a search over such.
    X : images
        Some images, of any of the kinds that :class:`~sktransfer.DeepFeatureTransformer` takes.
    target : label, array-like of shape (n_images,) or None, default=None
        The class that the maps are about, one for all or one for each image. None is the class that
        the estimator decides for. Of a regressor, the number of the output.
    method : {"auto", "cam", "grad_cam", "occlusion"}, default="auto"
        - "cam", the class activation map [1]_, for pooled features and a linear head, also through
          StandardScaler, PCA and whatever else is affine: exact, the map and a constant add up to
          the decision value. Poolings that are sums over cells, such as "avg", "max", "avgmax" and
          "flatten"; any layers.
        - "grad_cam" [2]_ for networks that were fine-tuned: what speaks for the target.
        - "occlusion" [3]_ for everything else, such as an SVM or a random forest: how much the
          decision suffers from a patch.
        - "auto" is the first of these that is possible.
    n_cells : int, default=8
        For "occlusion": places down and across. An image is decided upon ``n_cells ** 2`` times.

    Returns
    -------
    SaliencyMaps
        With ``maps``, one value for each pixel that the estimator saw, and ``pixels``.

    Raises
    ------
    ValueError
        If the method is not possible with this estimator, or `target` is no class.
    TypeError
        If `estimator` decides nothing.
    ImageDecodeError
        If an image cannot be read.

    See Also
    --------
    SaliencyDisplay : Draws them over the images.

    References
    ----------
    .. [1] Zhou, Khosla, Lapedriza, Oliva, Torralba, "Learning deep features for discriminative
       localization", CVPR 2016, equations 1 and 2.
    .. [2] Selvaraju et al., "Grad-CAM: visual explanations from deep networks via gradient-based
       localization", ICCV 2017, equations 1 and 2.
    .. [3] Zeiler, Fergus, "Visualizing and understanding convolutional networks", ECCV 2014,
       section 4.2.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sktransfer import DeepFeatureTransformer
    >>> from sktransfer.datasets import load_digit_images
    >>> X, y = load_digit_images(return_X_y=True)
    >>> model = make_pipeline(DeepFeatureTransformer("tiny"), LogisticRegression(max_iter=500))
    >>> found = saliency_maps(model.fit(X[:100], y[:100]), X[:5])
    >>> found.method, found.maps.shape
    ('cam', (5, 64, 64))
    >>> bool(abs(found.maps.sum((1, 2)) + found.constants - found.values).max() < 1e-4)
    True
    """
    check_choice("method", method, _METHODS)
    check_integer("n_cells", n_cells, 1, "places down and across that are covered in turn")
    estimator = _unwrapped(estimator)
    features, rest = split_pipeline(estimator)
    if method in ("auto", "cam") and features is not None:
        try:
            return activation_maps(features, rest, X, target)
        except NotAffine as exc:
            if method == "cam":
                raise ValueError(
                    f"method='cam' is not possible: {exc}. Pass method='occlusion', or 'auto'."
                ) from exc
    tuned = tuned_network(estimator) is not None
    if method == "cam":
        other = "'grad_cam'" if tuned else "'occlusion'"
        raise ValueError(
            f"method='cam' is not possible: the {type(estimator).__name__} does not begin with a "
            f"DeepFeatureTransformer. Pass method={other}, or 'auto'."
        )
    if method in ("auto", "grad_cam") and tuned:
        return gradient_maps(estimator, X, target)
    if method == "grad_cam":
        raise ValueError(
            f"method='grad_cam' is not possible: the {type(estimator).__name__} is no network that "
            "was fine-tuned. Pass method='auto'."
        )
    return occlusion_maps(estimator, X, target, n_cells)


def _unwrapped(estimator: object) -> object:
    """Take the best estimator of a search, and what is left of a pipeline without idle steps."""
    estimator = getattr(estimator, "best_estimator_", estimator)
    if not isinstance(estimator, Pipeline):
        return estimator
    working = [step for _, step in estimator.steps if step not in (None, "passthrough")]
    return _unwrapped(working[0]) if len(working) == 1 else estimator

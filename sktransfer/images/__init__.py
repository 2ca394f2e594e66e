"""Images: what a user may pass as `X`, from paths to tensors, as one sequence of RGB images."""

from sktransfer.images.kinds import ImageShape, as_image_sequence

__all__ = ["ImageShape", "as_image_sequence"]

"""One image of any kind, from a path to a tensor, becomes RGB pixels by one decode path.

Two steps, so that a store can look an image up by its content before anybody decodes it:
`payload_of` fetches the content (a file's bytes, or an array's pixels), `decode_payload` turns it
into an RGB image. Whatever goes wrong with the image is an `Unusable`, to which the caller adds
which image it is. Both steps may run in several threads at once.
"""

from sktransfer.images.pixels.arrays import as_numpy, channel_axis
from sktransfer.images.pixels.decoding import Payload, decode_payload
from sktransfer.images.pixels.files import is_shortage
from sktransfer.images.pixels.narrow import NEAR_BLACK, is_varied
from sktransfer.images.pixels.payload import is_missing, payload_of
from sktransfer.images.pixels.problems import Unusable

__all__ = [
    "NEAR_BLACK",
    "Payload",
    "Unusable",
    "as_numpy",
    "channel_axis",
    "decode_payload",
    "is_missing",
    "is_shortage",
    "is_varied",
    "payload_of",
]

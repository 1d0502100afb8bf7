"""Figures as TensorBoard's images; the image plugin's own summary needs TensorFlow."""

from __future__ import annotations

import dataclasses
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tensorboard.compat.proto.summary_pb2 import Summary

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_HEADER = 24  # bytes to the end of the width and height in a PNG's first chunk


@dataclasses.dataclass(frozen=True)
class Picture:
    """A figure.

    Attributes:
        png: the PNG file's bytes.
        title: what TensorBoard shows above it; "" for its tag.
        sentence: what it shows, in Markdown.
    """

    png: bytes
    title: str = ""
    sentence: str = ""


def size(png: bytes) -> tuple[int, int]:
    """Width and height in pixels.

    Raises:
        ValueError: these are not the bytes of a PNG file.
    """
    if len(png) < _HEADER or png[:8] != _SIGNATURE or png[12:16] != b"IHDR":
        raise ValueError("not a PNG file")
    width, height = struct.unpack(">II", png[16:_HEADER])
    return width, height


def image_summary(tag: str, picture: Picture) -> Summary:
    """A picture as the image plugin reads it: a tensor of width, height and PNG bytes."""
    from tensorboard.compat.proto import summary_pb2, types_pb2
    from tensorboard.plugins.image import metadata

    width, height = size(picture.png)
    summary = summary_pb2.Summary()
    about = metadata.create_summary_metadata(
        picture.title or None, picture.sentence or None, converted_to_tensor=True
    )
    value = summary.value.add(tag=tag, metadata=about)
    value.tensor.dtype = types_pb2.DT_STRING
    value.tensor.tensor_shape.dim.add(size=3)
    value.tensor.string_val.extend([b"%d" % width, b"%d" % height, picture.png])
    return summary

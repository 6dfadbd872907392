"""Pictures within a page, small enough that many of them make no huge file."""

import base64
import io

from PIL import Image

_JPEG_QUALITY = 85


def to_data_uri(picture: Image.Image, max_side: int) -> str:
    """An RGB picture as a `data:` URI, scaled down to `max_side` pixels a side; PNG or JPEG, whichever is smaller."""
    picture = picture.copy()
    picture.thumbnail((max_side, max_side))
    coded = []
    for kind, options in (("png", {"optimize": True}), ("jpeg", {"quality": _JPEG_QUALITY})):
        buffer = io.BytesIO()
        picture.save(buffer, kind, **options)
        coded.append((len(buffer.getvalue()), kind, buffer.getvalue()))
    _, kind, content = min(coded)
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"

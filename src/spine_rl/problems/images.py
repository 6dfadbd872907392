"""Pictures of problems: found when a row is read, opened when needed, refused in one line with their place."""

import base64
import hashlib
import io
import re
import urllib.request
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

from spine_rl.errors import DataError, shorten
from spine_rl.problems.text_file import describe_kind

IMAGE_COLUMNS = ("images", "image")
MAX_DOWNLOAD = 50 * 2**20  # bytes
_MAX_SHOWN = 120  # characters of a cell in a message
_DATA_URI = re.compile(r"data:image/[\w.+-]+;base64,", re.ASCII)
_URL = re.compile(r"https?://", re.IGNORECASE)
_BASE64 = re.compile(r"[A-Za-z0-9+/\s]{64,}={0,2}\s*")


@dataclass(frozen=True)
class ImageOptions:
    """How pictures are found and opened.

    Attributes:
        folder: What relative paths are relative to; None where there is none, as on the hub.
        max_pixels: Larger pictures are scaled down to so many, keeping their aspect; None leaves it to the processor.
        allow_urls: Whether `http(s)` addresses are downloaded.
    """

    folder: Path | None = None
    max_pixels: int | None = None
    allow_urls: bool = False


@dataclass(frozen=True)
class ProblemImage:
    """A picture that is not yet opened.

    Attributes:
        where: Its row, for messages.
        source: A file, or the content of one.
        name: For people.
        max_pixels: See `ImageOptions`.
    """

    where: str
    source: Path | bytes = field(repr=False)
    name: str
    max_pixels: int | None = None

    def open(self) -> Image.Image:
        """The picture as a model gets it: RGB on white, upright, at most `max_pixels`.

        Raises:
            DataError: It is missing, broken, or so large that opening it is unsafe.
        """
        return _scale_down(_flatten(self._decode()), self.max_pixels)

    def encode(self) -> dict[str, Any]:
        """A cell of a `datasets` column `Image(mode="RGB")`, which opens to what `open` gives; a file stays a path."""
        original = self._decode()
        picture = _scale_down(_flatten(original), self.max_pixels)
        if picture.size == ImageOps.exif_transpose(original).size and not original.has_transparency_data:
            return {"path": str(self.source), "bytes": None} if isinstance(self.source, Path) else _cell(self.source)
        buffer = io.BytesIO()
        picture.save(buffer, "PNG")
        return _cell(buffer.getvalue())

    def export(self) -> str:
        """As another data file may hold it: an absolute path, or base64."""
        return str(self.source.resolve()) if isinstance(self.source, Path) else base64.b64encode(self.source).decode()

    def digest(self) -> str:
        """Of its bytes."""
        content = self.source if isinstance(self.source, bytes) else self.source.read_bytes()
        return hashlib.sha256(content).hexdigest()

    def _decode(self) -> Image.Image:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", Image.DecompressionBombWarning)
                picture = Image.open(io.BytesIO(self.source) if isinstance(self.source, bytes) else self.source)
                picture.load()
        except FileNotFoundError:
            raise DataError(f"{self.where}: no image {self.name}; copy it there, or mend its path") from None
        except (Image.DecompressionBombWarning, Image.DecompressionBombError):
            raise DataError(
                f"{self.where}: image {self.name} has more than {Image.MAX_IMAGE_PIXELS} pixels, too many to open "
                "safely; scale it down"
            ) from None
        except Exception as error:  # PIL and its decoders raise of every kind
            raise DataError(
                f"{self.where}: image {self.name} cannot be opened ({shorten(error, 120)}); replace it"
            ) from None
        return picture


def find_images(where: str, value: Any, options: ImageOptions) -> tuple[ProblemImage, ...]:
    """The pictures in a cell of a column `image` or `images`: one or several of a path, `data:` URI, base64, bytes,
    `{"bytes", "path"}`, a PIL image, or, if allowed, a URL.

    Raises:
        DataError: One is none of these, or its file is not there.
    """
    return tuple(
        _find(where, cell, f"number {number}", options) for number, cell in enumerate(to_cells(value), start=1)
    )


def to_cells(value: Any) -> list[Any]:
    """A column's value as a list of pictures, not yet looked at."""
    if value is None or value == "":
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def open_image(image: Any) -> Image.Image:
    """A picture of `Problem.images`, PIL's or not yet opened, as a model gets it."""
    return image.open() if isinstance(image, ProblemImage) else _flatten(image)


def encode_image(image: Any) -> Any:
    """A picture of `Problem.images` as a cell of a `datasets` column."""
    return image.encode() if isinstance(image, ProblemImage) else _flatten(image)


def digest_image(image: Any) -> str:
    """What tells pictures apart."""
    return image.digest() if isinstance(image, ProblemImage) else hashlib.sha256(image.tobytes()).hexdigest()


def name_image(image: Any) -> str:
    """Of a picture of `Problem.images`, for people."""
    return image.name if isinstance(image, ProblemImage) else f"{image.width}x{image.height} pixels"


def check_images(images: Iterable[Any]) -> None:
    """Opens each picture once, so that a broken one is found before any work.

    Raises:
        DataError: Naming the row and the picture.
    """
    for image in images:
        open_image(image)


def _find(where: str, cell: Any, number: str, options: ImageOptions) -> ProblemImage:
    got = describe_kind(cell)
    if isinstance(cell, dict):
        cell = cell.get("bytes") or cell.get("path")
    if isinstance(cell, Image.Image):
        buffer = io.BytesIO()
        _flatten(cell).save(buffer, "PNG")
        cell = buffer.getvalue()
    if isinstance(cell, bytes | bytearray):
        return ProblemImage(where, bytes(cell), f"{number} ({len(cell)} bytes)", options.max_pixels)
    if not isinstance(cell, str) or not cell.strip():
        raise DataError(f"{where}: image {number} must be a path, base64, bytes or {{'bytes', 'path'}}, got {got}")
    content = _read_text(where, cell, number, options)
    if content is not None:
        return ProblemImage(where, content, f"{number} ({len(content)} bytes)", options.max_pixels)
    if options.folder is None:
        raise DataError(
            f"{where}: image {_cut(cell)!r} is only a name; get the data set's image files and give a local copy"
        )
    name = cell.removeprefix("file://")
    if not _is_file(options.folder, name):
        raise DataError(f"{where}: no image {_cut(str(options.folder / name))}; copy it there, or mend its path")
    return ProblemImage(where, options.folder / name, str(options.folder / name), options.max_pixels)


def _read_text(where: str, cell: str, number: str, options: ImageOptions) -> bytes | None:
    """Content that is written in the cell, or behind its URL; None of a path."""
    if _URL.match(cell):
        if not options.allow_urls:
            raise DataError(f"{where}: image {_cut(cell)} is a URL; download it, or allow it with --allow-image-urls")
        return _download(where, cell)
    prefix = _DATA_URI.match(cell)
    if prefix is None and cell.startswith("data:"):
        raise DataError(f"{where}: image {number} is a data: URI, but no base64 of an image; give that, or a file")
    if prefix is None and (not _BASE64.fullmatch(cell) or _is_file(options.folder, cell)):
        return None
    try:
        return base64.b64decode("".join(cell[prefix.end() if prefix else 0 :].split()), validate=True)
    except ValueError:
        raise DataError(f"{where}: image {number} is neither a file nor valid base64; mend it") from None


def _cut(cell: str) -> str:
    """What is no name of a file may be megabytes of something else, such as base64 of another alphabet."""
    return cell if len(cell) <= _MAX_SHOWN else f"{cell[:_MAX_SHOWN]}…"


def _is_file(folder: Path | None, cell: str) -> bool:
    try:
        return folder is not None and (folder / cell).is_file()
    except OSError:  # too long for a name
        return False


def _download(where: str, url: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            content = answer.read(MAX_DOWNLOAD + 1)
    except (OSError, ValueError, HTTPException) as error:
        raise DataError(
            f"{where}: image {_cut(url)} cannot be downloaded ({shorten(error)}); download it yourself"
        ) from None
    if len(content) > MAX_DOWNLOAD:
        raise DataError(f"{where}: image {_cut(url)} has more than {MAX_DOWNLOAD} bytes; download it yourself")
    return content


def _flatten(picture: Image.Image) -> Image.Image:
    """Upright and RGB; what is transparent turns white, as on paper, and not black."""
    picture = ImageOps.exif_transpose(picture)
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return picture.convert("RGB")


def _scale_down(picture: Image.Image, max_pixels: int | None) -> Image.Image:
    if max_pixels is None or picture.width * picture.height <= max_pixels:
        return picture
    scale = (max_pixels / (picture.width * picture.height)) ** 0.5
    return picture.resize((max(1, int(picture.width * scale)), max(1, int(picture.height * scale))))


def _cell(content: bytes) -> dict[str, Any]:
    return {"path": None, "bytes": content}

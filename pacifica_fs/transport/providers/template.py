"""A protocol as an address with gaps: `vbl = "/vbl/datafile/{id}/"`."""

from __future__ import annotations

import string
from urllib.parse import quote, urlsplit

from .contract import Delivery, Follow, OneByOne, Remote

FIELDS = ("id", "url", "host", "path")


class Template(OneByOne):
    """Leads to `text`, filled with the archive's `id` of the file, its `url` (quoted), and that URL's host and path."""

    def __init__(self, text: str) -> None:
        """ValueError for gaps other than FIELDS."""
        names = [name for _, name, _, _ in string.Formatter().parse(text) if name is not None]
        unknown = [name for name in names if name not in FIELDS]
        if unknown or not names:
            raise ValueError(f"an address with {{{'} or {'.join(FIELDS)}}} was expected, not {text!r}")
        self._text = text

    def download_datafile(self, file: Remote, start: int = 0) -> Delivery:
        """See Provider."""
        parts = urlsplit(file.url)
        return Follow(
            self._text.format(
                id=quote(file.id, safe=""),
                url=quote(file.url, safe=""),
                host=quote(parts.netloc, safe=""),
                path=parts.path.lstrip("/"),
            )
        )

"""A resource's file as one multipart body of known length, streamed from the disk."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator, Mapping

from ...errors import Stale
from ...model import BundleFile

PIECE = 1 << 20


class Multipart:
    """See `transport.http.Body`. `last` is called before the end without which the site takes nothing; once."""

    def __init__(
        self,
        fields: Mapping[str, str],
        file: BundleFile,
        filename: str,
        sent: Callable[[int], None] = lambda count: None,
        last: Callable[[], None] = lambda: None,
    ) -> None:
        self.boundary = f"pacifica-fs-{uuid.uuid4().hex}"
        self.file, self._sent, self._last = file, sent, last
        parts = [
            f'--{self.boundary}\r\nContent-Disposition: form-data; name="{_quoted(name)}"\r\n\r\n{value}\r\n'
            for name, value in fields.items()
        ]
        parts.append(
            f'--{self.boundary}\r\nContent-Disposition: form-data; name="upload"; filename="{_quoted(filename)}"\r\n'
            f"Content-Type: {file.mime_type}\r\n\r\n"
        )
        self._hasher = file.digest.hasher()
        self._head = "".join(parts).encode("utf-8", "surrogateescape")
        self._tail = f"\r\n--{self.boundary}--\r\n".encode()
        self.failure: BaseException | None = None

    @property
    def content_type(self) -> str:
        """The header's value."""
        return f"multipart/form-data; boundary={self.boundary}"

    def __len__(self) -> int:
        return len(self._head) + self.file.size + len(self._tail)

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._pieces()
        except BaseException as error:
            self.failure = error
            raise

    def _pieces(self) -> Iterator[bytes]:
        yield self._head
        done = 0
        try:
            stream = self.file.source.open("rb")
        except OSError as error:
            raise Stale(f"{self.file.path}: cannot be read any more: {error.strerror}") from error
        with stream:
            while piece := stream.read(PIECE):
                done += len(piece)
                if done > self.file.size:
                    break
                self._hasher.update(piece)
                yield piece
                self._sent(done)
        if done != self.file.size or self._hasher.hexdigest() != self.file.digest.value:
            raise Stale(f"{self.file.path}: the file changed while it was sent")
        self._last()
        yield self._tail


def _quoted(text: str) -> str:
    """As browsers write names into headers of parts."""
    return re.sub('["\r\n]', lambda match: f"%{ord(match[0]):02X}", text)

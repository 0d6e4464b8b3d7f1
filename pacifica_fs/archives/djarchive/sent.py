"""What was sent of a revision that is not complete yet, so that a try after a crash goes on where the last one was."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path

from .store import Object


class Sent:
    """The file `path`: a line of JSON for each object that the bucket took, or of which it is taking parts. Any thread
    may `note`.

    It is a memory aid and no promise: what it does not know is sent again.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._etags: dict[str, tuple[str, str]] = {}
        self._uploads: dict[str, tuple[str, int, str]] = {}
        try:
            for line in path.read_text("utf-8").splitlines():
                file, digest, *more = json.loads(line)
                if len(more) == 1:
                    self._etags[file] = (digest, more[0])
                else:
                    part, upload = more
                    self._uploads[file] = (digest, part, upload)
        except (OSError, ValueError):
            pass  # a line that a crash cut off, or none at all

    def __bool__(self) -> bool:
        return bool(self._etags)

    def note(self, file: str, digest: str, etag: str) -> None:
        """The bucket took `file`."""
        with self._lock:
            self._etags[file] = digest, etag
            self._write(file, digest, etag)

    def begun(self, file: str, digest: str, part: int, upload: str) -> None:
        """The bucket takes parts of `part` bytes of `file` as this upload; "" if no more."""
        with self._lock:
            self._uploads[file] = digest, part, upload
            self._write(file, digest, part, upload)

    def upload(self, file: str, digest: str, part: int) -> str:
        """The upload that was begun of this content in such parts; "" if there is none."""
        begun = self._uploads.get(file)
        return begun[2] if begun is not None and begun[:2] == (digest, part) else ""

    def _write(self, *line: object) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with self._path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(line) + "\n")
        except OSError:
            pass

    def same(self, objects: Iterable[Object], lines: Mapping[str, tuple[int, str]], prefix: str) -> None:
        """Take in the objects of a complete revision with the manifest `lines`: what does not change stays."""
        for each in objects:
            line = lines.get(each.key.removeprefix(prefix))
            if line is not None and line[0] == each.size:
                self.note(each.key.removeprefix(prefix), line[1], each.etag)

    def there(self, objects: Iterable[Object], prefix: str) -> dict[str, tuple[str, int]]:
        """Digest and size by path of what was sent and is in the bucket as it was sent."""
        found = {}
        for each in objects:
            digest, etag = self._etags.get(each.key.removeprefix(prefix), ("", ""))
            if etag and etag == each.etag:
                found[each.key.removeprefix(prefix)] = digest, each.size
        return found

    def remove(self) -> None:
        """It is not needed any more."""
        self._path.unlink(missing_ok=True)

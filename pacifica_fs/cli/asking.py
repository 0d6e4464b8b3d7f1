"""Asking the daemon for something: through its mount, or, where none answers, noted in the spool for the next one."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import WaitTimeout
from . import find, limited, naming, snapshot
from .codes import Exit, Failed
from .outside import MountPoint, Outside
from .snapshot import Upload

CONTROL = "user.pacifica.control"
SECONDS = 30.0

_WORDS: dict[int, str] = {
    errno.ENOENT: "there is no such bundle any more",
    errno.EINVAL: "it is {state}: that cannot be done now",
    errno.EROFS: "another mount takes the uploads; give that with -m DIR",
}


class Asked:
    """A bundle and the way to its daemon."""

    def __init__(self, outside: Outside, dir: Path | None, file: Path | None, name: str) -> None:
        """Find the bundle `name`; Failed if there is none."""
        self.outside, self.file = outside, file
        self.mount: MountPoint | None = find.mount(outside, dir, file)
        self.seen = snapshot.look(outside, self.mount, file)
        self.upload: Upload = naming.choose(self.seen.uploads, name, self.mount)

    def ask(self, do: str, **more: Any) -> bool:
        """Do it now, or queue it; True if it was done now. Failed says why it cannot be."""
        request: dict[str, Any] = {"do": do, "id": str(self.upload["id"]), **more}
        if self.mount is None or self.seen.mount is None:
            self._queue(request)
            return False
        control(self.mount, request, str(self.upload.get("state")))
        return True

    def _queue(self, request: dict[str, Any]) -> None:
        file = self.file or (snapshot.config_of(self.mount) if self.mount else None)
        places = snapshot.places_of(self.outside, self.mount, file)
        self.outside.queue(places.state / "spool", request)


def control(mount: MountPoint, request: dict[str, Any], state: str = "there") -> None:
    """Hand `request` to the daemon of `mount`; Failed with words, OSError for what `_WORDS` has none for."""
    data = json.dumps(request).encode()
    try:
        limited.call(_set(f"{mount.path}/drop", data), SECONDS, f"the mount at {mount.path}")
    except WaitTimeout as error:
        raise Failed(str(error), Exit.NO_MOUNT) from error
    except OSError as error:
        words = _WORDS.get(error.errno or 0)
        if words is None:
            raise
        raise Failed(words.format(state=state), Exit.FAILED) from error


def encode(do: str, id: str, **more: Any) -> bytes:
    """A request as the daemon takes it."""
    return json.dumps({"do": do, "id": id, **more}).encode()


def _set(folder: str, data: bytes) -> Callable[[], None]:
    return lambda: os.setxattr(folder, CONTROL, data)

"""Names and directories in a bundle."""

from __future__ import annotations

import os

from ..errors import Invalid, NameTooLong
from .bundle import SpoolBundle


def make_parents(bundle: SpoolBundle, path: str) -> None:
    """The directories above `path`, where what was sent had them."""
    parts = path.split("/")[:-1]
    with bundle.lock:
        for count in range(1, len(parts) + 1):
            parent = "/".join(parts[:count])
            try:
                bundle.disk.mkdir(bundle.real(parent))
                bundle.made(parent)
            except FileExistsError:
                continue


def safe(name: str) -> None:
    """Raises Invalid or NameTooLong for what cannot be one name."""
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        raise Invalid(f"{name!r} cannot be a name")
    if len(os.fsencode(name)) > 255:
        raise NameTooLong("a name has at most 255 bytes")

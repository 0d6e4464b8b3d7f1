"""A dropped manifest: a file that lists what belongs to a bundle, in an archive's own format (`archive.Choosy`)."""

from __future__ import annotations

import os
from collections.abc import Mapping

from ..archive import Choosy
from ..errors import PacificaFSError
from .bundle import SpoolBundle

Seen = dict[str, tuple[tuple[int, int, int], Mapping[str, int] | None]]


class Manifests:
    """Reads the manifests of one archive's bundles, each version once. For one thread."""

    def __init__(self, choosy: Choosy | None) -> None:
        self._choosy = choosy
        self._seen: Seen = {}

    def missing(self, bundle: SpoolBundle) -> list[str] | None:
        """Files that the manifest lists and that are not there yet, or not in full; None without a manifest."""
        listed = self._listed(bundle)
        if listed is None:
            return None
        return [path for path, size in listed.items() if _size(bundle.real(path)) != size]

    def _listed(self, bundle: SpoolBundle) -> Mapping[str, int] | None:
        if self._choosy is None or not self._choosy.manifest:
            return None
        path = bundle.real(self._choosy.manifest)
        try:
            state = os.stat(path)
        except OSError:
            self._seen.pop(bundle.journal.id, None)
            return None
        key = state.st_ino, state.st_size, state.st_mtime_ns
        seen = self._seen.get(bundle.journal.id)
        if seen is None or seen[0] != key:
            seen = self._seen[bundle.journal.id] = key, self._read(path)
        return seen[1]

    def _read(self, path: str) -> Mapping[str, int] | None:
        assert self._choosy is not None
        try:
            with open(path, "rb") as stream:
                return self._choosy.listed(stream.read())
        except (PacificaFSError, OSError):
            return None  # the check says what is wrong with it, once somebody says that the bundle is complete


def _size(path: str) -> int:
    try:
        return os.lstat(path).st_size
    except (OSError, ValueError):
        return -1

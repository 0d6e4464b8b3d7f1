"""Files put directly into `drop/ARCHIVE/`, where `single_files` is on: each is a bundle of its own.

`scan.raw` is the bundle `scan.raw` with the one file `scan.raw`; `scan.raw.metadata.json` is its sidecar. Programs that
write under a temporary name and rename make a bundle of that name first, which is never sealed.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from ..errors import IsADirectory, NotFound, NotPermitted
from ..tree.nodes import Handle, Node, Writable
from .complete import COMMIT
from .content import DropFolder
from .paths import safe
from .stack import Site, Stack


class Singles:
    """The files of one archive's folder."""

    def __init__(self, site: Site, sidecar_names: Sequence[str]) -> None:
        self._site, self._sidecar_names = site, tuple(sidecar_names)

    def entries(self, stack: Stack) -> list[tuple[str, Node]]:
        """What the bundle `stack` shows in the archive's folder."""
        return [
            (name if name == stack.name else f"{stack.name}.{name}", node)
            for name, node in DropFolder(stack, "").entries()
            if name == stack.name or name in self._sidecar_names
        ]

    def lookup(self, name: str) -> Node:
        """The file of that name; NotFound."""
        stack, path = self._place(name)
        if not stack.single or not stack.visible:
            raise NotFound(f"there is no drop/{self._site.name}/{name}")
        return DropFolder(stack, "").lookup(path)

    def create(self, name: str, flags: int, mode: int) -> tuple[Writable, Handle]:
        """Make or open a file, and its bundle."""
        return self._folder(name).create(self._place(name)[1], flags, mode)

    def unlink(self, name: str) -> None:
        """Remove a file, and its bundle with the last."""
        self.lookup(name)
        stack, path = self._place(name)
        DropFolder(stack, "").unlink(path)
        self._tidy(stack)

    def rename(self, name: str, new: str) -> None:
        """Rename a file; into the bundle of the new name."""
        self.lookup(name)
        if name == new:
            return
        stack, path = self._place(name)
        target = self._folder(new)
        DropFolder(stack, "").rename(path, target, self._place(new)[1])
        self._tidy(stack)

    def _place(self, name: str) -> tuple[Stack, str]:
        """The bundle to which a file of that name belongs, and what it is called there."""
        for sidecar in self._sidecar_names:
            base = name.removesuffix(f".{sidecar}")
            if base != name and base:
                return self._site.stack(base), sidecar
        return self._site.stack(name), name

    def _folder(self, name: str) -> DropFolder:
        safe(name)
        if name == COMMIT or name in self._sidecar_names:
            raise NotPermitted(f"{name} speaks of a folder, and this is none: call it FILE.{name.lstrip('.')}")
        stack, _ = self._place(name)
        with self._site.making:
            if not stack.visible:
                old = stack.bundles
                uid = self._site.caller()
                follows = old[0] if old else None
                self._site.spool.create(self._site.name, stack.name, follows=follows, single=True, uid=uid)
            elif not stack.single:
                raise IsADirectory(f"{stack.name} is a folder")
        return DropFolder(stack, "")

    def _tidy(self, stack: Stack) -> None:
        with self._site.making:
            current = stack.current
            if current is not None and not current.handles and not os.listdir(current.files):
                self._site.spool.discard(current)

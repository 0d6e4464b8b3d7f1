"""What an archive tells a user about sidecars, as files that can be read: `.choices/`, `.example/`, `.template.json`.

They lie in `drop/ARCHIVE/`, whose other content can only be written. Listing them asks nobody; reading one may.
Threading: nodes are values, any thread.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import NotFound
from ..tree.nodes import Node
from ..tree.virtual import Entries, ListedFolder, TextFile
from . import people
from .stack import Site

MODE = 0o555


class GuideFolder(ListedFolder):
    """One folder of them. What is not listed may be there, too: a narrowed choice."""

    __slots__ = ("_path", "_site")

    def __init__(self, site: Site, path: tuple[str, ...], names: Sequence[str]) -> None:
        self._site, self._path = site, path
        super().__init__(_key(site, path), lambda: [(name, guide(site, (*path, name))) for name in names], MODE)

    def lookup(self, name: str) -> Node:
        """A text or folder; NotFound."""
        return guide(self._site, (*self._path, name))


def guide(site: Site, path: tuple[str, ...]) -> Node:
    """The node at `path`; NotFound."""
    if site.guides is None:
        raise NotFound("/".join(path))
    guides = site.guides
    names = guides.guide(path)
    if names is not None:
        return GuideFolder(site, path, names)
    return TextFile(
        _key(site, path), lambda: guides.guide_text(path, people.submitter(site.caller(), site.settings.users))
    )


def at_the_top(site: Site) -> Entries:
    """Those that `drop/ARCHIVE/` shows."""
    if site.guides is None:
        return []
    return [(name, guide(site, (name,))) for name in site.guides.guide(()) or ()]


def _key(site: Site, path: tuple[str, ...]) -> tuple[str, ...]:
    return ("drop", site.name, "guide", *path)


def is_guide(site: Site, name: str) -> bool:
    """Whether `name` in `drop/ARCHIVE/` is one of them: nothing of that name can be made."""
    return site.guides is not None and name in (site.guides.guide(()) or ())

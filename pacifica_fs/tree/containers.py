"""Containers as folders: the listing of a view's last level, each container, and its document.

Threading: nodes may be used from any thread; what is asked of the archive goes through `Answers` (one flight a key).
"""

from __future__ import annotations

from collections.abc import Mapping

from ..archive import Gathers
from ..errors import Invalid, NotFound
from ..model import Container, View
from .answers import Answers, Shown, Where
from .deep import DeepFolder
from .documents import JSON, README, described, document_name, json_text, readme
from .inside import SubFolder
from .nodes import DIRECTORY, FILE, Attributes, Node, inode
from .virtual import Entries, FixedFile

FETCH = b'{"do":"fetch"}'


class ContainersFolder:
    """The containers that match, each a folder with `NAME.json` beside it."""

    __slots__ = ("_answers", "_mtime_ns", "_view", "_where", "ino")

    def __init__(self, answers: Answers, view: View, where: Where, mtime_ns: int = 0) -> None:
        self._answers, self._view, self._where, self._mtime_ns = answers, view, where, mtime_ns
        self.ino = inode(answers.archive.name, "containers", view.name, *(part for pair in where for part in pair))

    def attributes(self) -> Attributes:
        """A directory's, with the time of what it is about."""
        return Attributes(DIRECTORY, 0, self._mtime_ns)

    def xattrs(self) -> Mapping[str, bytes]:
        """The archive's name."""
        return {"user.pacifica.archive": self._answers.archive.name.encode()}

    def entries(self) -> Entries:
        """All containers, or, where there are more than a listing shows, only a README that says where to look."""
        shown = self._shown()
        if self._is_too_long(shown):
            return [(README, self._readme(shown))]
        entries: list[tuple[str, Node]] = []
        for name, container in shown.named.items():
            container = self._answers.seen(container)
            entries.append((name, ContainerFolder(self._answers, container)))
            entries.append((document_name(name), ContainerDocument(self._answers, container)))
        return entries

    def lookup(self, name: str) -> Node:
        """A container by its name or id, listed or not, or its document; NotFound."""
        if name == README:
            shown = self._shown()
            if self._is_too_long(shown):
                return self._readme(shown)
        if name.endswith(JSON):
            try:
                return ContainerDocument(self._answers, self._find(name.removesuffix(JSON), name))
            except NotFound:
                pass
        return ContainerFolder(self._answers, self._find(name))

    def control(self, data: bytes) -> None:
        """`{"do": "fetch"}`: all that is in it is wanted, and will be read. Invalid for anything else."""
        if data != FETCH:
            raise Invalid(f"not a request: {data[:100]!r}")
        if not isinstance(self._answers.archive, Gathers) or not self._where:
            return
        containers = [each.id for each in self._shown().named.values()]
        folders = [self._answers.folders(id) for id in containers if not self._answers.is_deep(id)]
        files = [ref for each in folders for order in each.among.orders()[:1] for ref in order]
        self._answers.gather(self._where[-1][1], files)

    def _shown(self) -> Shown[Container]:
        return self._answers.listing(self._view, self._where)

    def _is_too_long(self, shown: Shown[Container]) -> bool:
        return not shown.listing.complete and not self._view.newest

    def _readme(self, shown: Shown[Container]) -> FixedFile:
        words = [
            f"There are more than {self._answers.limit} here (listing_limit), too many for one listing.",
            "A listing is never partial, so that a mirror is never silently partial.",
            "Each can be opened by its id all the same:",
            "",
            "    cd ID        cat ID.json",
        ]
        archive = self._answers.archive
        views = [view for view in archive.views if view.name and view.name != self._view.name]
        if views:
            words += ["", "Other ways to them:"]
            words += [f"    {archive.name}/{view.name}/    {view.purpose}".rstrip() for view in views]
        return readme(self.ino, "\n".join(words), shown.listing.remark)

    def _find(self, name: str, document: str = "") -> Container:
        """The container called `name`, or about which `document` is."""
        listed = self._answers.listed(self._view, self._where)
        shown = listed.named.get(name) if listed is not None else None
        if shown is None and self._needs_listing(name):
            listing = self._shown()
            called = described(document, listing.named) if document else name
            shown = listing.named.get(called) if called is not None else None
            if shown is None and listing.listing.complete and not self._view.newest:
                raise NotFound(name)
        if shown is not None:
            return self._answers.seen(shown)
        return self._answers.find(self._where, name, self._view.unlisted)

    def _needs_listing(self, name: str) -> bool:
        """Whether a name is looked up in the listing, before anybody is asked for it alone."""
        if self._view.unlisted and self._answers.finder is not None:
            return "~" in name
        return bool(self._where or self._view.newest)


class ContainerDocument:
    """`NAME.json`: what is known about a container."""

    __slots__ = ("_answers", "_container", "ino")

    def __init__(self, answers: Answers, container: Container) -> None:
        self._answers, self._container = answers, container
        self.ino = inode(answers.archive.name, container.id, JSON)

    @property
    def known(self) -> bool:
        """False where `attributes` would ask a server: a listing costs one request, not one for each entry."""
        return self._answers.archive.capabilities.local or bool(self._container.info)

    def attributes(self) -> Attributes:
        """With the real size, so that `tar` and `rsync` keep it; asks the archive only if the listing did not say."""
        return Attributes(FILE, len(self.render()), self._container.mtime_ns)

    def xattrs(self) -> Mapping[str, bytes]:
        """As the container's folder."""
        return _container_xattrs(self._container)

    def render(self) -> bytes:
        """The document, UTF-8 JSON."""
        if not self._container.info:
            self._container = self._answers.container(self._container.id)
        return json_text({"id": self._container.id, **self._container.info})


class ContainerFolder:
    """One container: its files and folders."""

    __slots__ = ("_answers", "_container", "ino")

    def __init__(self, answers: Answers, container: Container) -> None:
        self._answers, self._container = answers, container
        self.ino = inode(answers.archive.name, container.id)

    def attributes(self) -> Attributes:
        """A directory's, with the time at which the container was submitted."""
        return Attributes(DIRECTORY, 0, self._container.mtime_ns)

    def xattrs(self) -> Mapping[str, bytes]:
        """Archive and id."""
        return _container_xattrs(self._container)

    def entries(self) -> Entries:
        """Its files and folders; one request at the most."""
        return self._content().entries()

    def lookup(self, name: str) -> Node:
        """One of them; NotFound."""
        return self._content().lookup(name)

    def _content(self) -> SubFolder | DeepFolder:
        container = self._container
        if self._answers.is_deep(container.id):
            return DeepFolder(self._answers, container.id, (), [()], container.mtime_ns)
        return self._answers.folders(self._container.id).top(self._container.mtime_ns)


def _container_xattrs(container: Container) -> Mapping[str, bytes]:
    return {
        "user.pacifica.archive": container.archive.encode(),
        "user.pacifica.id": container.id.encode(),
        "user.pacifica.transaction": container.id.encode(),
    }

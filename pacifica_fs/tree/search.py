"""`search/`: a folder for each question, `project=1234a,after=2020-05-01`, that appears when it is looked up.

Generic over the terms that an archive declares (`View.terms`); the archive says what their values mean.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from urllib.parse import unquote

from ..errors import Invalid, NotFound
from ..model import View
from .answers import Answers, Where
from .containers import ContainersFolder
from .documents import README, readme
from .nodes import DIRECTORY, Attributes, Node, inode
from .virtual import Entries, FixedFile

REMEMBERED = 32


def parse(name: str, terms: Mapping[str, str]) -> Where:
    """The terms of a question in one order, whatever order they were written in.

    NotFound for a name that is no question at all; Invalid, which says why, for one that cannot be answered.
    """
    if "=" not in name:
        raise NotFound(name)
    found: dict[str, str] = {}
    for part in name.split(","):
        term, equals, value = part.partition("=")
        if not equals or not value:
            raise Invalid(f"{part!r}: TERM=VALUE was expected")
        if term not in terms:
            raise Invalid(f"there is no term {term!r}; there are {', '.join(terms)}")
        if term in found:
            raise Invalid(f"{term!r} twice")
        found[term] = unquote(value)
    return tuple((term, found[term]) for term in terms if term in found)


class SearchFolder:
    """Lists its README and the questions asked last. Any thread."""

    __slots__ = ("_answers", "_asked", "_lock", "_view", "ino")

    def __init__(self, answers: Answers, view: View) -> None:
        self._answers, self._view = answers, view
        self._lock = threading.Lock()
        self._asked: OrderedDict[str, Where] = OrderedDict()
        self.ino = inode(answers.archive.name, "search", view.name)

    def attributes(self) -> Attributes:
        """A directory's."""
        return Attributes(DIRECTORY)

    def xattrs(self) -> Mapping[str, bytes]:
        """The archive's name."""
        return {"user.pacifica.archive": self._answers.archive.name.encode()}

    def entries(self) -> Entries:
        """What to write, and the questions that were asked lately."""
        with self._lock:
            asked = list(self._asked.items())
        return [(README, self._readme()), *((name, self._folder(where)) for name, where in asked)]

    def lookup(self, name: str) -> Node:
        """The folder of one question; asks nobody yet, unless it is new. NotFound, Invalid."""
        if name == README:
            return self._readme()
        with self._lock:
            where = self._asked.get(name)
        folder = self._folder(parse(name, self._view.terms) if where is None else where)
        if where is None:
            self._try(folder, name)
        return folder

    def _try(self, folder: ContainersFolder, name: str) -> None:
        """Ask, so that a value that is unknown is said at once; what has an answer is remembered."""
        try:
            folder.entries()
        except NotFound as error:
            raise NotFound(f"{name}: {error}") from error
        with self._lock:
            self._asked[name] = parse(name, self._view.terms)
            while len(self._asked) > REMEMBERED:
                self._asked.popitem(last=False)

    def _folder(self, where: Where) -> ContainersFolder:
        return ContainersFolder(self._answers, self._view, where)

    def _readme(self) -> FixedFile:
        terms = self._view.terms
        width = max(map(len, terms), default=0) + 2
        first, *more = [*terms, *terms]
        return readme(
            self.ino,
            "A name here is a question; its folder appears when it is looked up, and lists what matches:",
            f"    ls {self._answers.archive.name}/{self._view.name}/{first}=VALUE,{more[0]}=VALUE",
            "All of these hold at once, each at most once, in any order:",
            "\n".join(f"    {term + '=':<{width}}{what}" for term, what in terms.items()),
            "In a value write %2C for a comma, %2F for a slash and %25 for a percent sign.\n"
            "A name that is no question is an invalid argument; one whose value is unknown does not exist.",
        )

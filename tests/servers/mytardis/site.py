"""What the fake holds, and who may see it: people, experiments with their rights, data sets, files on storage boxes."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

PRIVATE, EMBARGO, METADATA, PUBLIC = 1, 25, 50, 100
TIME = "2024-05-06T07:08:09.123456"


@dataclass(eq=False)
class User:
    """Somebody with a password and, where the site makes them, a key."""

    id: int
    username: str
    password: str
    api_key: str = ""
    superuser: bool = False


@dataclass(eq=False)
class Parameter:
    """One value of a parameter set; `name` is the id of a ParameterName."""

    name: int
    string: str | None = None
    number: float | None = None


@dataclass(eq=False)
class ParameterName:
    """What a value is called; a resource of its own."""

    id: int
    name: str
    full_name: str
    units: str = ""


@dataclass(eq=False)
class ParameterSet:
    """Values of one schema."""

    id: int
    schema: str
    namespace: str
    parameters: list[Parameter]


@dataclass(eq=False)
class Experiment:
    """`readers` are usernames with an ACL."""

    id: int
    title: str
    readers: set[str]
    public_access: int = PRIVATE
    description: str = ""
    authors: list[str] = field(default_factory=list)
    parameter_sets: list[ParameterSet] = field(default_factory=list)
    time: str = TIME


@dataclass(eq=False)
class Dataset:
    """`experiments` are ids; a data set may be in several."""

    id: int
    description: str
    experiments: list[int]
    directory: str = ""
    parameter_sets: list[ParameterSet] = field(default_factory=list)
    time: str = TIME


@dataclass(eq=False)
class DataFile:
    """One file. `data` is what the record claims; `sent` what the box holds now (None: gone).

    `verified` None: no DataFileObject at all. `box` is its storage box, `offline`: on tape. `protocol` and `url` are
    those of a replica of an old server. `size` is the record's, where that is wrong; -1: it has none.
    """

    id: int
    dataset: int
    directory: str | None
    filename: str
    data: bytes = b""
    version: int = 1
    verified: bool | None = True
    sent: bytes | None = None
    gone: bool = False
    box: str = "lab-disk"
    offline: bool = False
    mimetype: str = "application/octet-stream"
    sha512: bool = False
    protocol: str = ""
    url: str = ""
    time: str | None = TIME
    size: int | None = None
    md5: str | None = None

    @property
    def content(self) -> bytes:
        """What is on the box."""
        return self.data if self.sent is None else self.sent


class Site:
    """The records, and the rules about them."""

    def __init__(self) -> None:
        self.users: dict[str, User] = {}
        self.experiments: dict[int, Experiment] = {}
        self.datasets: dict[int, Dataset] = {}
        self.files: dict[int, DataFile] = {}
        self.names: dict[int, ParameterName] = {}
        self.tokens: dict[str, int] = {}
        self._ids = itertools.count(1)

    def user(self, username: str, **more: Any) -> User:
        """Add somebody; password and key are made of the name."""
        user = User(len(self.users) + 1, username, f"{username}-password", f"{username}-key", **more)
        self.users[username] = user
        return user

    def experiment(self, title: str, *readers: str, **more: Any) -> Experiment:
        """Add an experiment."""
        made = Experiment(len(self.experiments) + 1, title, set(readers), **more)
        self.experiments[made.id] = made
        return made

    def dataset(self, description: str, *experiments: int, **more: Any) -> Dataset:
        """Add a data set."""
        made = Dataset(len(self.datasets) + 1, description, list(experiments), **more)
        self.datasets[made.id] = made
        return made

    def file(self, dataset: int, directory: str | None, filename: str, data: bytes = b"", **more: Any) -> DataFile:
        """Add a file."""
        made = DataFile(more.pop("id", None) or len(self.files) + 1, dataset, directory, filename, data, **more)
        self.files[made.id] = made
        return made

    # -- who sees what

    def has_acl(self, experiment: Experiment, who: User | None, token: str) -> bool:
        """By an ACL of one's own, or by a share token."""
        return bool(who and who.username in experiment.readers) or self.tokens.get(token) == experiment.id

    def visible(self, experiment: Experiment, who: User | None, token: str) -> bool:
        """Whether records are shown."""
        return experiment.public_access >= METADATA or self.has_acl(experiment, who, token)

    def shown(self, who: User | None, token: str) -> set[int]:
        """Ids of the experiments that are shown."""
        everything = bool(who and who.superuser)
        return {e.id for e in self.experiments.values() if everything or self.visible(e, who, token)}

    def downloadable(self, file: DataFile, who: User | None, token: str) -> bool:
        """Whether the bytes are given: a superuser has no right of his own to them."""
        return any(
            experiment.public_access == PUBLIC or self.has_acl(experiment, who, token)
            for experiment in map(self.experiments.__getitem__, self.datasets[file.dataset].experiments)
        )

    def rows_of(self, files: Iterable[DataFile], who: User | None, token: str) -> Iterator[DataFile]:
        """Files as a list shows them: once for each experiment by which they are seen, but once for a superuser."""
        shown = self.shown(who, token)
        for file in files:
            seen = shown & set(self.datasets[file.dataset].experiments)
            yield from itertools.repeat(file, min(len(seen), 1) if who and who.superuser else len(seen))


def md5(data: bytes) -> str:
    """As a record has it."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()

import hashlib
import uuid

import pytest

from pacifica_fs.archive import Effects
from pacifica_fs.archives.local import build
from pacifica_fs.clock import SystemClock
from pacifica_fs.config import ArchiveSettings
from pacifica_fs.model import Bundle, BundleFile, Digest, Metadata


class Site:
    """A place for local archives: `open` is what a starting program does."""

    def __init__(self, folder):
        self.folder = folder
        self.root = folder / "archive"
        self.clock = SystemClock()

    def open(self, path=None, name="here", **settings):
        path = str(self.root) if path is None else path
        effects = Effects(self.clock, self.folder / "state", self.folder / "cache", environ={"HOME": str(self.folder)})
        return build(ArchiveSettings(name, "local", options={"path": path}, source="a.toml", **settings), effects)

    def bundle(self, files, **changes):
        """A bundle of `files` (path → bytes)."""
        sources = self.folder / uuid.uuid4().hex
        sources.mkdir()
        made = []
        for number, (path, data) in enumerate(files.items()):
            source = sources / str(number)
            source.write_bytes(data)
            digest = Digest("sha1", hashlib.sha1(data).hexdigest())
            made.append(BundleFile(path, len(data), 1_600_000_000_123_456_789, digest, source))
        changes.setdefault("id", uuid.uuid4().hex)
        changes.setdefault("metadata", Metadata({"project": "p"}, (("Tag", "first"),)))
        return Bundle(archive="here", name="n", files=tuple(made), **changes)

    def send(self, built, bundle, last=lambda: None):
        """The id of the transaction that `bundle` becomes."""
        return built.inbox.send(bundle, lambda sent: None, last).job


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


@pytest.fixture
def here(site):
    return site.open()

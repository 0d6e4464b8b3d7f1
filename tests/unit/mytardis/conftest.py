from contextlib import ExitStack

import pytest

from pacifica_fs.archive import Effects
from pacifica_fs.archives.mytardis.archive import build
from pacifica_fs.clock import SystemClock
from pacifica_fs.config import parse
from pacifica_fs.tree.views import ArchiveTree, walk
from tests.servers.mytardis import FakeTardis


@pytest.fixture
def stack():
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def tardis(stack):
    """tardis(hsm=True) → a server; see FakeTardis for its switches."""
    return lambda *site, **switches: stack.enter_context(FakeTardis(*site, **switches))


@pytest.fixture
def archive(stack, tmp_path):
    """archive(server, "bob", names="sftp") → the archive as it is for this user."""

    def make(server, who="alice", environ=None, listing_limit=10_000, **options):
        common = {"listing_limit": listing_limit, "timeouts": {"connect": "2s", "read": "10s"}}
        table = server.table(who, **common) | options
        settings = parse({"archives": {"tardis": table}}, ("config.toml",)).archives[0]
        effects = Effects(SystemClock(), tmp_path / "state", tmp_path / "cache", environ=environ or {})
        made = build(settings, effects).archive
        stack.callback(made.close)
        return made

    return make


@pytest.fixture
def tree():
    """tree(archive) → its folder, as the mount walks it."""
    return lambda archive: ArchiveTree(archive, 60.0, 10_000, SystemClock()).root()


def names(node, *path):
    """The names in a folder."""
    return [name for name, _ in walk(node, *path).entries()]


def paths(node, prefix=""):
    """Paths of all files below a folder, with their nodes."""
    found = {}
    for name, below in node.entries():
        if hasattr(below, "entries"):
            found |= paths(below, f"{prefix}{name}/")
        else:
            found[prefix + name] = below
    return found

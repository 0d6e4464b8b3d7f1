"""The kind `local` passes the contract."""

import contextlib
import os
from pathlib import Path

import pytest

from pacifica_fs.archive import Effects
from pacifica_fs.archives.local import build
from pacifica_fs.clock import SystemClock
from pacifica_fs.config import ArchiveSettings
from pacifica_fs.model import Metadata

from .suite import KEYS, ArchiveContract, InboxContract, Kind, make_bundle, upload


class LocalKind(Kind):
    algorithm = "sha1"
    fields = {"project": "1234a", "instrument": "54"}  # noqa: RUF012

    @pytest.fixture
    def root(self, tmp_path):
        return tmp_path / "archive"

    @pytest.fixture
    def built(self, root, tmp_path):
        effects = Effects(SystemClock(), tmp_path / "state", tmp_path / "cache")
        settings = ArchiveSettings("here", "local", hash=self.algorithm, options={"path": str(root)}, source="test")
        return build(settings, effects)

    @pytest.fixture
    def publish(self, built, tmp_path):
        def publish(files):
            return upload(
                built,
                make_bundle(tmp_path, "here", self.algorithm, files, metadata=Metadata(self.fields, KEYS)),
                self.deadline,
            )

        return publish

    @pytest.fixture
    def outage(self, root):
        @contextlib.contextmanager
        def outage():
            # As when a disk is unmounted: the mount point is there, and empty.
            away = root.with_name("away")
            root.rename(away)
            root.mkdir()
            yield
            root.rmdir()
            away.rename(root)

        return outage

    @pytest.fixture
    def damage(self, root):
        def damage(ref):
            path = root.joinpath("transactions", ref.container, "files", *ref.parts)
            if ref.size > 100:
                path.chmod(0o600)
                os.truncate(path, ref.size - 1)
            else:
                path.unlink()

        return damage

    @pytest.fixture
    def held(self, root):
        def held():
            for link in Path("/proc/self/fd").iterdir():
                with contextlib.suppress(OSError):
                    if str(link.readlink()).startswith(str(root)):
                        yield link.readlink()

        return held


class TestLocalArchive(LocalKind, ArchiveContract):
    pass


class TestLocalInbox(LocalKind, InboxContract):
    pass


class TestLocalInboxWithSha256(LocalKind, InboxContract):
    algorithm = "sha256"

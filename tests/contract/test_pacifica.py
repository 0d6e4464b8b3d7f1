"""The kind `pacifica` passes the contract, against the released services."""

import contextlib
from typing import ClassVar

import pytest

from pacifica_fs.archive import Effects
from pacifica_fs.clock import SystemClock
from pacifica_fs.config import ArchiveSettings
from pacifica_fs.model import Metadata

from .suite import ArchiveContract, InboxContract, Kind, make_bundle, upload

build = pytest.importorskip("pacifica_fs.archives.pacifica.archive").build

pytestmark = [pytest.mark.pacifica, pytest.mark.timeout(300)]

SERVICES = ("policy", "metadata", "ingest", "cart", "archive_interface", "files_by_hash")


@pytest.fixture(scope="session")
def published():
    """What was published in this session, by its content: a site's transactions do not change."""
    return {}


class PacificaKind(Kind):
    fields: ClassVar = {"project": "51001", "instrument": "2001"}
    idempotent = False
    sizes_are_claims = True
    time_step_ns = 10**9
    many = 200
    services = SERVICES
    more: ClassVar = {}

    @pytest.fixture
    def proxies(self, pacifica_site, faulty):
        return {name: faulty(getattr(pacifica_site, name)) for name in self.services}

    @pytest.fixture
    def built(self, pacifica_site, proxies, tmp_path):
        options = {name: proxy.url for name, proxy in proxies.items()} | {"user": pacifica_site.logon}
        settings = ArchiveSettings("emsl", "pacifica", options=options | self.more, source="test")
        built = build(settings, Effects(SystemClock(), tmp_path / "state", tmp_path / "cache"))
        yield built
        built.archive.close()

    @pytest.fixture
    def publish(self, pacifica_site, published, tmp_path):
        def publish(files):
            content = tuple(files.items())
            if content not in published:
                names = ("policy", "metadata", "ingest", "cart")
                options = {name: getattr(pacifica_site, name) for name in names} | {"user": pacifica_site.logon}
                settings = ArchiveSettings("emsl", "pacifica", options=options, source="test")
                built = build(settings, Effects(SystemClock(), tmp_path / "state", tmp_path / "cache"))
                bundle = make_bundle(
                    tmp_path, "emsl", "sha1", files, metadata=Metadata(self.fields, (("Tag", "first"),))
                )
                published[content] = upload(built, bundle, self.deadline)
                built.archive.close()
            return published[content]

        return publish

    @pytest.fixture
    def outage(self, proxies):
        @contextlib.contextmanager
        def outage():
            for proxy in proxies.values():
                proxy.refuse()
            try:
                yield
            finally:
                for proxy in proxies.values():
                    proxy.accept()

        return outage

    @pytest.fixture
    def damage(self, pacifica_site):
        whole = {}

        def damage(ref):
            (path,) = [path for path in pacifica_site.archive_folder.rglob(ref.id) if path.is_file()]
            whole[path] = path.read_bytes()
            path.chmod(0o600)
            path.write_bytes(whole[path][:-1])

        yield damage
        for path, content in whole.items():
            path.write_bytes(content)


class TestPacificaArchive(PacificaKind, ArchiveContract):
    pass


class TestPacificaArchiveWithRanges(PacificaKind, ArchiveContract):
    services = ("metadata", "archive_interface")
    more: ClassVar = {"ranges": "trusted"}


class TestPacificaArchiveThroughCarts(PacificaKind, ArchiveContract):
    services = ("policy", "cart", "ingest")


class TestPacificaInbox(PacificaKind, InboxContract):
    services = ("policy", "metadata", "ingest", "cart")


class TestPacificaInboxWithoutMetadata(PacificaKind, InboxContract):
    services = ("policy", "ingest", "cart")

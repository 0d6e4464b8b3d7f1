<<<<<<< HEAD
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
=======
"""The kind `pacifica` passes the contract, against the real services."""

import os
import time

import pytest
import requests

from pacifica_fs.archive import Effects
from pacifica_fs.archives.pacifica.archive import build
from pacifica_fs.clock import SystemClock
from pacifica_fs.config import parse
from pacifica_fs.model import Metadata
from tests.servers.front import Front
from tests.servers.pacifica import seed

from .suite import ArchiveContract, InboxContract, Kind, make_bundle, upload

pytestmark = [pytest.mark.pacifica, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def front(pacifica_site):
    with Front(pacifica_site) as front:
        yield front


@pytest.fixture(scope="module")
def published():
    """What was published already, by content: containers do not change, and an upload takes half a second."""
>>>>>>> site
    return {}


class PacificaKind(Kind):
<<<<<<< HEAD
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
=======
    fields = {"project": "51001", "instrument": "2001"}  # noqa: RUF012
    idempotent = False
    time_step_ns = 10**9
    many = 100
    services = ("policy", "ingest", "cart")
    options = {}  # noqa: RUF012

    @pytest.fixture
    def built(self, front, tmp_path):
        table = front.table(*self.services, timeouts={"connect": "2s", "read": "30s"}, **self.options)
        settings = parse({"archives": {"site": table}}).archives[0]
>>>>>>> site
        built = build(settings, Effects(SystemClock(), tmp_path / "state", tmp_path / "cache"))
        yield built
        built.archive.close()

    @pytest.fixture
<<<<<<< HEAD
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
=======
    def publish(self, front, built, published, tmp_path):
        def publish(files):
            key = tuple(sorted(files.items()))
            if key not in published:
                bundle = make_bundle(tmp_path, "site", "sha1", files, metadata=Metadata(self.fields, ()))
                published[key] = upload(built, bundle, self.deadline)
            return published[key]
>>>>>>> site

        return publish

    @pytest.fixture
<<<<<<< HEAD
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
=======
    def outage(self, front):
        return front.down

    @pytest.fixture
    def damage(self, pacifica_site, published):
        def damage(ref):
            path = pacifica_site.archive_folder / ref.id
            path.chmod(0o600)
            if ref.size > 100:
                os.truncate(path, ref.size - 1)
            else:
                path.unlink()

        yield damage
        published.clear()

    @pytest.fixture
    def held(self, front):
        front.forget()

        def held():
            """Carts that are still there a while after they were given back (which nobody waits for)."""
            end = time.monotonic() + 10
            while left := [uid for uid in front.carts() if alive(f"{front.site.cart}/{uid}")]:
                if time.monotonic() > end:
                    break
                time.sleep(0.02)
            return left

        return held


def alive(url):
    return requests.head(url, timeout=10).status_code != 404


class TestPacificaArchive(PacificaKind, ArchiveContract):
    """As a user outside of the data centre: policy lists, carts bring."""


class TestPacificaArchiveInside(PacificaKind, ArchiveContract):
    """Inside of the data centre: metadata lists, the archive interface brings, and vouches for nothing."""

    services = ("policy", "metadata", "ingest", "archive_interface")
    options = {"ranges": "trusted"}  # noqa: RUF012

    @pytest.fixture
    def damage(self, pacifica_site, published):
        # Shorter content is found by its digest, by whoever asked.
        yield lambda ref: (pacifica_site.archive_folder / ref.id).unlink()
        published.clear()


class TestPacificaInbox(PacificaKind, InboxContract):
    def test_a_stranger_is_told_so_before_a_byte_is_sent(self, front, inbox, bundle):
        front.forget()
        fields = self.fields | {"submitter": seed.LOGONS[seed.STRANGER]}
        (problem,) = inbox.check(bundle({"a": b"1"}, metadata=Metadata(fields, ())))
        assert "eguest" in problem.what and "51001" in problem.what
        assert not front["ingest"].count("POST")


class TestPacificaInboxWithMetadata(PacificaKind, InboxContract):
    """`find` by key and value."""

    services = ("policy", "metadata", "ingest", "archive_interface")
>>>>>>> site

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

from .suite import KEYS, ArchiveContract, InboxContract, Kind, make_bundle, upload

pytestmark = [pytest.mark.pacifica, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def front(pacifica_site):
    with Front(pacifica_site) as front:
        yield front


@pytest.fixture(scope="module")
def published():
    """What was published already, by content: containers do not change, and an upload takes half a second."""
    return {}


class PacificaKind(Kind):
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
        built = build(settings, Effects(SystemClock(), tmp_path / "state", tmp_path / "cache"))
        yield built
        built.archive.close()

    @pytest.fixture
    def publish(self, front, built, published, tmp_path):
        def publish(files):
            key = tuple(sorted(files.items()))
            if key not in published:
                bundle = make_bundle(tmp_path, "site", "sha1", files, metadata=Metadata(self.fields, KEYS))
                published[key] = upload(built, bundle, self.deadline)
            return published[key]

        return publish

    @pytest.fixture
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

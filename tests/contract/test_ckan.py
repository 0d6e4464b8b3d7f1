"""The kind `ckan` passes the contract, against real CKAN. A bundle of the suite asks for a package of its own."""

import uuid
from contextlib import contextmanager

import pytest

from pacifica_fs.archive import Effects
from pacifica_fs.archives.ckan.archive import build
from pacifica_fs.clock import SystemClock
from pacifica_fs.config import parse
from pacifica_fs.errors import PacificaFSError
from pacifica_fs.model import Metadata

from .inbox_contract import FILES, Calls, Stop
from .suite import KEYS, ArchiveContract, InboxContract, Kind, make_bundle, upload
from .tools import finished

pytestmark = [pytest.mark.ckan, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def published():
    """What was published already, by content."""
    return {}


class CkanKind(Kind):
    time_step_ns = 0
    keeps_digests = False
    keeps_types = False
    many = 10
    unknown_container = "no-such-package"
    strange_paths = tuple(path for path in Kind.strange_paths if path not in ("ü" * 127, "n" * 255))

    def listing(self, archive, container):
        """Without what the DataStore made of files that are tables."""
        return [ref for ref in archive.files(container) if ref.parts[0] != ".datastore"]

    @pytest.fixture
    def proxy(self, ckan_site, faulty):
        return faulty(ckan_site.url)

    @pytest.fixture
    def built(self, ckan_site, proxy, tmp_path):
        table = ckan_site.archive_table(url=proxy.url, timeouts={"connect": "2s", "read": "30s"})
        settings = parse({"archives": {"opendata": table}}).archives[0]
        built = build(settings, Effects(SystemClock(), tmp_path / "state", tmp_path / "cache"))
        yield built
        built.archive.close()

    @pytest.fixture
    def publish(self, ckan_site, published):
        def publish(files):
            key = tuple(sorted(files.items()))
            if not key or key not in published:
                api, package = ckan_site.api(), ckan_site.package()
                for path, data in files.items():
                    upload = {"upload": (path.rpartition("/")[2], data)}
                    api("resource_create", files=upload, package_id=package, name=path, pfs_path=path)
                published[key] = api("package_show", id=package)["id"]
            return published[key]

        return publish

    @pytest.fixture
    def outage(self, proxy):
        @contextmanager
        def outage():
            proxy.refuse()
            try:
                yield
            finally:
                proxy.accept()

        return outage

    @pytest.fixture
    def bundle(self, inbox, tmp_path):
        def make(files, **changes):
            asked = Metadata({"create_dataset": "{}", "org": "lab"}, ())
            changes = {"metadata": asked, "name": f"p-{uuid.uuid4().hex[:12]}"} | changes
            return make_bundle(tmp_path, "opendata", inbox.hash, files, **changes)

        return make


class TestCkanArchive(CkanKind, ArchiveContract):
    @pytest.fixture
    def damage(self, ckan_site, published):
        def damage(ref):
            published.clear()
            id = ref.id
            path = ckan_site.folder / "storage" / "resources" / id[:3] / id[3:6] / id[6:]
            if ref.size > 100:
                with path.open("r+b") as stream:
                    stream.truncate(ref.size - 1)
            else:
                path.unlink()

        return damage


class TestCkanInbox(CkanKind, InboxContract):
    """A package may have other files, so what is left of an upload that failed is the package that it asked for."""

    def left(self, archive, before, some):
        """What there is beside what was there: nothing but the package of `some`, without a file."""
        more = [id for id in self.listed(archive) if id not in before]
        assert len(more) <= 1 and [archive.container(id).label for id in more] in ([], [some.name])
        assert all(self.listing(archive, id) == [] for id in more)

    def test_a_key_with_two_values_is_none(self, inbox, bundle):
        """There are no keys here: it is said where such pairs go."""
        (problem,) = inbox.check(bundle(FILES, metadata=Metadata({"create_dataset": "{}", "org": "lab"}, KEYS)))
        assert "extras" in problem.remedy

    def test_two_files_that_ask_for_one_name_are_a_problem(self, inbox, bundle):
        asked = Metadata({"create_dataset": "{}", "org": "lab"}, ())
        each = {"a": Metadata({"name": "b"}, ())}
        problems = inbox.check(bundle({"a": b"1", "b": b"2"}, metadata=asked, each=each))
        assert [problem.what for problem in problems] == ["2 files ask for the name 'b'"] * 2

    def test_metadata_survives(self, archive, bundle, built):
        asked = {"create_dataset": '{"notes": "Temp °C"}', "org": "lab", "extras": '{"Tag": "first"}'}
        container = upload(built, bundle(FILES, metadata=Metadata(asked, ())), self.deadline)
        package = archive.container(container).info["package"]
        assert package["notes"] == "Temp °C" and {one["Tag"] for one in package["resources"]} == {"first"}

    @pytest.mark.parametrize("where", ["sent", "last"])
    def test_a_caller_that_stops_it_leaves_nothing(self, built, inbox, archive, bundle, where):
        before = self.listed(archive)
        some = bundle({"one": b"1" * 3000})
        calls = Calls(fail=where)
        with pytest.raises(Stop):
            inbox.send(some, calls.count, calls.last)
        assert len(calls.lasts) == (where == "last")
        assert list(inbox.find(some)) == []
        self.left(archive, before, some)
        container = upload(built, some, self.deadline)
        assert list(inbox.find(some)) == [container]

    @pytest.mark.parametrize("how", ["changed", "shorter", "longer", "gone"])
    def test_a_source_that_changed_is_never_published_under_its_old_digest(self, inbox, archive, bundle, how):
        some = bundle({"run1/a.bin": FILES["run1/a.bin"]})
        before = self.listed(archive)
        source = some.files[0].source
        data = bytearray(source.read_bytes())
        data[1000] ^= 1
        changed = {"changed": data, "shorter": data[:-1], "longer": data + b"x"}
        source.write_bytes(changed[how]) if how in changed else source.unlink()
        with pytest.raises(PacificaFSError, match=r"run1/a\.bin"):
            inbox.send(some, lambda sent: None, lambda: None)
        assert list(inbox.find(some)) == []
        self.left(archive, before, some)

    def test_polling_in_an_outage(self, inbox, bundle, outage):
        """What is under way is known here; an outage is waited for."""
        ticket = inbox.send(bundle(FILES), lambda sent: None, lambda: None)
        with outage():
            assert not inbox.poll(ticket).outcome
        assert finished(inbox, ticket, self.deadline).outcome == "done"

    def test_a_bundle_that_is_sent_by_four_at_once(self, built, inbox, archive, bundle):
        super().test_a_bundle_that_is_sent_by_four_at_once(built, inbox, archive, bundle)
        (newest, *_) = self.listed(archive)
        assert len(self.listing(archive, newest)) == len(FILES), "each file is one resource"

"""Bytes: ranges, redirects, what each refusal means, tapes, protocols of others."""

import errno
import threading
import time

import pytest

from pacifica_fs.archive import Data, Waiting
from pacifica_fs.errors import (
    BadAnswer,
    Denied,
    Embargoed,
    NotPermitted,
    Offline,
    Unobtainable,
    Unreachable,
    Unverified,
    to_errno,
)
from pacifica_fs.model import UNKNOWN, FileRef
from tests.servers.mytardis import BIG, Site, pattern

WHOLE = pattern(BIG)


def ref(archive, id, dataset="2"):
    """A file by its id, from the listing."""
    return next(each for each in archive.files(dataset) if each.id == str(id))


def read(archive, *refs, start=0):
    """What comes, file by file, and the sentences said before."""
    found = [bytearray() for _ in refs]
    said = []
    for arrival in archive.open(refs, start=start):
        if isinstance(arrival, Waiting):
            said.append(arrival.reason)
        else:
            assert arrival.offset == len(found[arrival.index]) + start
            found[arrival.index] += arrival.data
    return [bytes(each) for each in found], said


def one(archive, file, start=0):
    (found,), _ = read(archive, file, start=start)
    return found


def started(archive, file, start=0):
    """The first piece, and no more of it."""
    arrivals = archive.open([file], start=start)
    try:
        return next(each for each in arrivals if isinstance(each, Data))
    finally:
        arrivals.close()


@pytest.mark.parametrize("id", [1, 2, 11, 12, 13])
def test_content_is_that_of_the_record(tardis, archive, id):
    server = tardis()
    assert one(archive(server), ref(archive(server), id, "1")) == server.site.files[id].data


@pytest.mark.parametrize("id", [14, 15, 16, 17, 18, 20, 21, 22, 23, 31])
def test_content_of_strange_names(tardis, archive, id):
    server = tardis()
    assert one(archive(server), ref(archive(server), id)) == server.site.files[id].data


def test_a_record_without_a_size(tardis, archive):
    server = tardis()
    server.site.files[23].size = -1
    made = archive(server)
    file = ref(made, 23)
    assert file.size == UNKNOWN and one(made, file) == b"plain\n"


def test_without_a_web_server_in_front_all_comes_from_the_start(tardis, archive):
    server = tardis()
    made = archive(server)
    file = ref(made, 1, "1")
    assert not made.capabilities.ranges
    assert one(made, file, 3_000_000) == WHOLE[3_000_000:]
    assert started(made, file, 3_000_000).offset == 3_000_000
    assert not made.capabilities.ranges


@pytest.mark.parametrize("switch", ["nginx", "redirect"])
def test_a_206_tells_that_parts_can_be_asked_for(tardis, archive, switch):
    server = tardis(**{switch: True})
    made = archive(server)
    file = ref(made, 1, "1")
    assert not made.capabilities.ranges
    assert one(made, file) == WHOLE
    assert made.capabilities.ranges
    assert one(made, file, 3_000_000) == WHOLE[3_000_000:]
    assert "Range" in server.log[-1][2] and server.log[-1][2]["Range"] == "bytes=3000000-"


def test_a_box_beside_the_web_servers_still_streams(tardis, archive):
    server = tardis(nginx=True)
    made = archive(server)
    one(made, ref(made, 1, "1"))
    file = ref(made, 31)
    assert made.capabilities.ranges and one(made, file, 5) == server.site.files[31].data[5:]


@pytest.mark.parametrize("ranges, header", [("no", None), ("yes", "bytes=0-")])
def test_ranges_can_be_configured(tardis, archive, ranges, header):
    server = tardis(nginx=True)
    made = archive(server, ranges=ranges)
    assert made.capabilities.ranges == (ranges == "yes")
    assert one(made, ref(made, 1, "1")) == WHOLE
    assert server.log[-1][2].get("Range") == header
    assert made.capabilities.ranges == (ranges == "yes")


def test_redirects_to_an_object_store_are_followed_as_nobody(tardis, archive):
    server = tardis(redirect=True)
    made = archive(server)
    assert one(made, ref(made, 2, "1")) == server.site.files[2].data
    ours, again, theirs = server.log[-3:]
    assert ours[2]["Authorization"] == again[2]["Authorization"] == "ApiKey alice:alice-key"
    assert theirs[1].startswith("STORE/bucket/2") and "Authorization" not in theirs[2]


@pytest.mark.parametrize("login", [{}, {"login": "session", "password": "alice-password"}])
def test_whoever_signs_in_does_so_at_the_archive_only(tardis, archive, login):
    server = tardis(redirect=True)
    made = archive(server, **login)
    one(made, ref(made, 2, "1"))
    assert not {"Authorization", "Cookie"} & set(server.log[-1][2])


def test_an_empty_answer_for_nginx_is_an_error_and_not_an_empty_file(tardis, archive):
    server = tardis(bypassed=True)
    made = archive(server)
    with pytest.raises(Unobtainable, match="web server") as caught:
        one(made, ref(made, 23))
    assert to_errno(caught.value) == errno.EIO


def test_what_breaks_off_is_an_outage(tardis, archive):
    server = tardis(stop_at=1_000_000)
    made = archive(server)
    with pytest.raises(Unreachable, match=r"IncompleteRead|broke off"):
        one(made, ref(made, 1, "1"))


@pytest.mark.parametrize("nginx", [False, True])
def test_bytes_that_are_gone(tardis, archive, nginx):
    made = archive(tardis(nginx=nginx))
    with pytest.raises(Unobtainable, match="gone") as caught:
        one(made, ref(made, 25))
    assert to_errno(caught.value) == errno.EIO


def test_a_hiccup_of_the_application_is_not_the_loss_of_a_file(tardis, archive):
    server = tardis()
    made = archive(server)
    file = ref(made, 23)
    server.site.files[23].gone = True
    arrivals = made.open([file])
    threading.Timer(0.3, lambda: setattr(server.site.files[23], "gone", False)).start()
    assert b"".join(each.data for each in arrivals if isinstance(each, Data)) == b"plain\n"


@pytest.mark.parametrize("id", [24, 26])
def test_unverified(tardis, archive, id):
    server = tardis()
    made = archive(server, unverified="list")
    file = ref(made, id)
    asked = len(server.log)
    with pytest.raises(Unverified) as caught:
        one(made, file)
    assert to_errno(caught.value) == errno.ENODATA
    assert len(server.log) == asked


def test_unverified_since_it_was_listed(tardis, archive):
    server = tardis()
    made = archive(server)
    file = ref(made, 23)
    server.site.files[23].verified = False
    with pytest.raises(Unverified) as caught:
        one(made, file)
    assert to_errno(caught.value) == errno.ENODATA


def test_deleted_since_it_was_listed(tardis, archive):
    server = tardis()
    made = archive(server)
    file = ref(made, 23)
    del server.site.files[23]
    with pytest.raises(Unobtainable, match="does not know") as caught:
        one(made, file)
    assert to_errno(caught.value) == errno.EIO


def test_only_described(tardis, archive):
    made = archive(tardis())
    with pytest.raises(Denied, match="only the description") as caught:
        one(made, ref(made, 30, "5"))
    assert to_errno(caught.value) == errno.EACCES


def test_under_embargo(tardis, archive):
    made = archive(tardis(), "admin")
    with pytest.raises(Embargoed, match="not released yet") as caught:
        one(made, ref(made, 29, "4"))
    assert to_errno(caught.value) == errno.EPERM


def test_seen_but_not_to_be_downloaded(tardis, archive):
    """A superuser sees everything, and downloads what an ACL gives him."""
    made = archive(tardis(), "admin")
    with pytest.raises(Denied, match="may see the file") as caught:
        one(made, ref(made, 28, "3"))
    assert to_errno(caught.value) == errno.EACCES


def test_the_reason_is_not_asked_for_each_file(tardis, archive):
    server = tardis()
    made = archive(server)
    file = ref(made, 30, "5")
    for _ in range(3):
        with pytest.raises(Denied):
            one(made, file)
    assert server.count("/dataset_file/30/[?]") == 1


def test_a_login_page_in_place_of_bytes_is_an_outage(tardis, archive):
    server = tardis()
    made = archive(server)
    file = ref(made, 23)
    server.page = (200, "<html>Please log in</html>")
    with pytest.raises(Unreachable, match="web page"):
        one(made, file)


class TestTape:
    def test_a_file_on_tape_is_not_touched_by_a_read(self, tardis, archive):
        server = tardis(hsm=True)
        made = archive(server)
        with pytest.raises(Offline, match="pacifica-fs recall PATH") as caught:
            one(made, ref(made, 27))
        assert to_errno(caught.value) == errno.ENOMEDIUM
        assert not server.recalls and not server.count("27/download")

    def test_recall_is_for_those_who_ask(self, tardis, archive):
        server = tardis(hsm=True)
        made = archive(server)
        file = ref(made, 27)
        assert made.recall(file)
        assert server.recalls == [27]
        server.site.files[27].offline = False
        assert one(made, file) == b"from tape\n"
        assert not made.recall(file) and server.recalls == [27]

    def test_never(self, tardis, archive):
        server = tardis(hsm=True)
        made = archive(server, recall="never")
        file = ref(made, 27)
        with pytest.raises(Offline, match="forbids"):
            one(made, file)
        with pytest.raises(NotPermitted):
            made.recall(file)
        assert not server.recalls

    def test_always_recalls_and_waits(self, tardis, archive, monkeypatch):
        from pacifica_fs.archives.mytardis import tape

        monkeypatch.setattr(tape, "FIRST", 0.05)
        server = tardis(hsm=True)
        made = archive(server, recall="always")
        said = []
        data = b""
        for arrival in made.open([ref(made, 27)]):
            if isinstance(arrival, Data):
                data += arrival.data
            else:
                said.append(arrival)
                server.site.files[27].offline = server.count("/online/") < 3
        assert data == b"from tape\n" and server.recalls == [27]
        assert said[0].reason == "it is being recalled from tape" and said[-1].polls >= 1

    def test_a_listing_recalls_nothing_and_asks_for_no_file(self, tardis, archive):
        server = tardis(hsm=True)
        archive(server, recall="always").files("2")
        assert not server.recalls and not server.count("hsm_")

    def test_boxes_without_tapes_are_asked_about_once(self, tardis, archive):
        server = tardis(hsm=True)
        made = archive(server)
        for id in (14, 15, 16, 23):
            one(made, ref(made, id))
        assert server.count("/hsm_replica/") == 1

    def test_sites_without_the_app_are_not_asked(self, tardis, archive):
        server = tardis()
        made = archive(server)
        made.probe()
        for id in (14, 27):
            one(made, ref(made, id))
        assert not server.count("/hsm_replica/") and server.count(r"/api/v1/\?") == 1


class TestProtocols:
    """Replicas of a server of release 3.5.2, whose bytes its own API does not give."""

    @pytest.fixture
    def old(self, tardis):
        site = Site()
        site.user("alice")
        site.experiment("Old", "alice")
        site.dataset("remote", 1)
        site.file(1, "", "vbl.txt", b"by the provider\n", protocol="vbl", url="vbl:///path/to/remote.txt")
        site.file(1, "", "local.txt", b"by the API\n", protocol="file", url="file:///store/1")
        site.file(1, "", "up.txt", b"SOME/PATH", protocol="up", url="up://some/path")
        site.file(1, "", "odd.txt", b"OTHER", protocol="up", url="vbl://other")
        site.file(1, "", "unknown.txt", b"?", protocol="xyz", url="xyz://a")
        server = tardis(site, old=True)
        self.options = {
            "login": "session",
            "password": "alice-password",
            "providers": {"vbl": "/vbl/datafile/{id}/", "up": "tests.unit.transport.providers.example:Upper"},
        }
        return server

    def test_sizes_are_texts_there(self, old, archive):
        assert ref(archive(old, **self.options), 1, "1").size == len(b"by the provider\n")

    def test_by_a_template_with_the_session(self, old, archive):
        made = archive(old, **self.options)
        assert one(made, ref(made, 1, "1")) == b"by the provider\n"
        assert not old.count("dataset_file/1/download")
        assert one(made, ref(made, 2, "1")) == b"by the API\n"

    def test_an_api_key_is_not_enough_there(self, old, archive):
        made = archive(old, providers=self.options["providers"])
        with pytest.raises(Denied):
            one(made, ref(made, 1, "1"))

    def test_a_mixture_in_one_batch(self, old, archive):
        made = archive(old, **self.options)
        files = [ref(made, id, "1") for id in (3, 1, 2)]
        found, _ = read(made, *files)
        assert found == [b"SOME/PATH", b"by the provider\n", b"by the API\n"]

    def test_what_cannot_be_had_comes_last_in_a_batch(self, old, archive):
        made = archive(old, **self.options)
        found = {}
        with pytest.raises(Unobtainable, match="'xyz'"):
            for arrival in made.open([ref(made, id, "1") for id in (5, 3, 1)]):
                if isinstance(arrival, Data):
                    found[arrival.index] = found.get(arrival.index, b"") + bytes(arrival.data)
        assert found == {1: b"SOME/PATH", 2: b"by the provider\n"}

    def test_files_of_other_protocols_are_gathered(self, old, archive):
        made = archive(old, **self.options)
        assert [made.gathers(ref(made, id, "1")) for id in (1, 2, 3)] == [True, False, True]

    def test_an_unknown_protocol(self, old, archive):
        made = archive(old, **self.options)
        with pytest.raises(Unobtainable, match=r"'xyz'.*archives\.tardis\.providers") as caught:
            one(made, ref(made, 5, "1"))
        assert to_errno(caught.value) == errno.EIO

    def test_where_field_and_scheme_disagree(self, old, archive, caplog):
        made = archive(old, **self.options)
        (found,), said = read(made, ref(made, 4, "1"))
        assert found == b"OTHER"
        assert "the archive says protocol 'up', but its URL is vbl://other: 'up' counts" in said[0]
        assert "'up' counts" in caplog.text

    def test_shown_attributes(self, old, archive):
        extra = dict(ref(archive(old, **self.options), 1, "1").extra)
        assert extra["protocol"] == "vbl" and extra["url"] == "vbl:///path/to/remote.txt"


def test_a_file_of_nobody_is_an_error(tardis, archive):
    made = archive(tardis())
    gone = FileRef("tardis", "2", "987", ("x",), 5, 0, extra=(("verified", "yes"),))
    with pytest.raises((BadAnswer, Unobtainable)):
        one(made, gone)


def test_closing_early_ends_the_download(tardis, archive):
    server = tardis(rate=1_000_000.0)
    made = archive(server)
    assert started(made, ref(made, 1, "1")).offset == 0
    end = time.monotonic() + 20
    while server.open and time.monotonic() < end:
        time.sleep(0.02)
    assert not server.open

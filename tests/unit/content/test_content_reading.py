"""Reading while bytes arrive: one flight, exact answers, the last window held back."""

import ctypes
import threading

import pytest

from pacifica_fs.archive import Capabilities, Waiting
from pacifica_fs.content.blob import HOLD
from pacifica_fs.content.content import Caching
from pacifica_fs.errors import (
    BadAnswer,
    Denied,
    NotFound,
    PacificaFSError,
    TooBusy,
    Unobtainable,
    Unreachable,
    WaitTimeout,
)
from tests.unit.content.content_fakes import MIB, Background, FakeArchive, Stream, pattern, read_all, settle, until


@pytest.mark.parametrize("size", [1, 2, 4096, HOLD - 1, HOLD, HOLD + 1, MIB, 3 * MIB + 7])
@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha256", ""])
def test_all_sizes(content, archive, size, algorithm):
    """A program that reads a file from start to end without an error has the archive's bytes."""
    data = pattern(size)
    ref = archive.add(data, algorithm=algorithm)
    assert content.state(ref) == "remote"
    assert read_all(content, ref) == data
    assert content.state(ref) == ("cached" if algorithm else "unverified")
    assert read_all(content, ref) == data
    assert len(archive.opens) == 1


def test_empty_files_need_no_server(content, archive):
    ref = archive.add(b"")
    reader = content.open(ref, "/a")
    assert (reader.read(10, 0), reader.size, reader.fd, reader.caching) == (b"", 0, -1, Caching.KEEP)
    reader.close()
    assert archive.opens == []
    assert content.state(ref) == "cached"


def test_reads_are_exact(content, archive):
    """READ answers exactly min(size, st_size − offset) bytes or an error."""
    data = pattern(300_000)
    reader = content.open(archive.add(data), "/a")
    for offset, size in [(0, 1), (299_999, 10), (300_000, 10), (400_000, 1), (150_000, 150_000), (0, MIB)]:
        buffer = ctypes.create_string_buffer(size)
        count = reader.read_into(ctypes.addressof(buffer), size, offset)
        assert count == max(0, min(size, len(data) - offset))
        assert buffer.raw[:count] == data[offset : offset + count] == reader.read(size, offset)
    reader.close()


def test_single_flight(content, archive):
    """One flight per blob however many readers."""
    data = pattern(2 * MIB)
    ref = archive.add(data)
    stream = Stream()
    archive.script = [stream]
    readers = [Background(lambda n=n: read_all(content, ref, f"/{n}")) for n in range(20)]
    until(lambda: content.usage()["waiting"] == 20)
    stream.data(data, 0, MIB).data(data, MIB, 2 * MIB)
    assert all(reader.result() == data for reader in readers)
    assert len(archive.opens) == 1


def test_bytes_are_served_while_they_arrive_but_not_the_last_window(content, archive):
    """Bytes are served while they arrive; the last window is held back until the whole content matched."""
    data = pattern(MIB)
    ref = archive.add(data)
    stream = Stream().data(data, 0, MIB - 1)
    archive.script = [stream]
    reader = content.open(ref, "/a")
    assert reader.read(MIB - HOLD, 0) == data[: MIB - HOLD]
    assert content.state(ref) == "partial"
    assert reader.fd == -1
    late = Background(lambda: reader.read(HOLD, MIB - HOLD))
    border = Background(lambda: reader.read(2, MIB - HOLD - 1))
    until(lambda: content.usage()["waiting"] == 2)
    stream.data(data, MIB - 1, MIB)
    assert late.result() == data[-HOLD:]
    assert border.result() == data[MIB - HOLD - 1 :][:2]
    assert reader.fd >= 0
    reader.close()


def test_verified_mode_hands_out_nothing_before_the_whole_matched(make, archive):
    """`read = "verified"` (per archive) hands out nothing before the whole content matched."""
    content = make(read="verified")
    data = pattern(MIB)
    stream = Stream().data(data, 0, MIB - 1)
    archive.script = [stream]
    reader = content.open(archive.add(data), "/a")
    first = Background(lambda: reader.read(1, 0))
    until(lambda: content.downloads() and content.downloads()[0]["bytes"] == MIB - 1)
    assert not first.done
    stream.data(data, MIB - 1, MIB)
    assert first.result() == data[:1]
    reader.close()


def test_open_starts_the_fetch_where_bytes_are_staged(make):
    """`open` answers at once; where bytes come by cart it starts the cart in the background."""
    archive = FakeArchive(capabilities=Capabilities(instant=False))
    content = make(archives={"emsl": archive})
    data = pattern(1000)
    ref = archive.add(data)
    stream = Stream().put(Waiting("the cart is being staged", "http://cart/1", 3))
    archive.script = [stream]
    reader = content.open(ref, "/a")
    until(lambda: content.downloads() and content.downloads()[0]["state"] == "staging")
    until(lambda: content.downloads()[0]["waiting_for"])
    entry = content.downloads()[0]
    assert entry["url"] == "http://cart/1"
    assert (entry["path"], entry["container"], entry["size"], entry["readers"]) == ("data/f0", "67", 1000, 1)
    assert content.state(ref) == "staging"
    stream.data(data, 0, 1000)
    assert reader.read(1000, 0) == data
    reader.close()


def test_where_bytes_are_instant_the_first_read_starts_the_fetch(content, archive):
    reader = content.open(archive.add(b"abc"), "/a")
    assert archive.opens == []
    assert reader.read(3, 0) == b"abc"
    reader.close()


def test_read_wait(make, archive, clock):
    """Every wait has a deadline, then ETIMEDOUT; staging goes on and a later read finds it.

    A handle that timed out answers at once for the next 5 s.
    """
    content = make(read_wait=600)
    data = pattern(1000)
    ref = archive.add(data)
    stream = Stream()
    archive.script = [stream]
    reader = content.open(ref, "/a")
    read = Background(lambda: reader.read(10, 0))
    until(lambda: content.usage()["waiting"])
    clock.advance(599)
    read._thread.join(0.5)
    assert not read.done
    clock.advance(1.1)
    with pytest.raises(WaitTimeout):
        read.result()
    with pytest.raises(WaitTimeout):
        Background(lambda: reader.read(10, 0)).result(1)
    other = content.open(ref, "/a")
    patient = Background(lambda: other.read(10, 0))
    until(lambda: content.usage()["waiting"] == 1)
    clock.advance(5.1)
    again = Background(lambda: reader.read(10, 0))
    until(lambda: content.usage()["waiting"] == 2)
    stream.data(data, 0, 1000)
    assert again.result() == patient.result() == data[:10]
    assert len(archive.opens) == 1
    reader.close()
    other.close()


def test_what_is_there_is_read_also_by_a_hasty_handle(make, archive, clock):
    content = make(read_wait=10)
    data = pattern(MIB)
    archive.script = [Stream().data(data, 0, MIB // 2)]
    reader = content.open(archive.add(data), "/a")
    assert reader.read(10, 0) == data[:10]
    late = Background(lambda: reader.read(10, MIB - 10))
    until(lambda: content.usage()["waiting"])
    clock.advance(11)
    with pytest.raises(WaitTimeout):
        late.result()
    assert reader.read(10, 100) == data[100:110]
    reader.close()


def test_waits_are_shorter_than_the_kernels_time_out(make, archive, clock):
    """Clamped below the kernel's request time-out where one is set."""
    content = make(read_wait=600, kernel_timeout=60)
    archive.script = [Stream()]
    reader = content.open(archive.add(b"abc"), "/a")
    read = Background(lambda: reader.read(3, 0))
    until(lambda: content.usage()["waiting"])
    clock.advance(55)
    with pytest.raises(WaitTimeout):
        read.result()
    reader.close()


def test_a_killed_reader_does_not_wait(content, archive):
    archive.script = [Stream()]
    reader = content.open(archive.add(b"abc"), "/a")
    killed = threading.Event()
    buffer = ctypes.create_string_buffer(3)
    read = Background(lambda: reader.read_into(ctypes.addressof(buffer), 3, 0, killed.is_set))
    until(lambda: content.usage()["waiting"])
    assert not read.done
    killed.set()
    with pytest.raises(WaitTimeout):
        read.result(2)
    assert content.usage()["waiting"] == 0
    reader.close()


def test_the_257th_waiting_request_is_refused_at_once(content, archive):
    """At most 256 requests wait: the next is refused at once. What is there is read all the same."""
    data = pattern(MIB)
    ref = archive.add(data)
    there = archive.add(b"there")
    assert read_all(content, there) == b"there"
    stream = Stream()
    archive.script = [stream]
    reader = content.open(ref, "/a")
    waiting = [Background(lambda n=n: reader.read(10, n * 10)) for n in range(256)]
    until(lambda: content.usage()["waiting"] == 256)
    with pytest.raises(TooBusy):
        Background(lambda: reader.read(10, 0)).result(2)
    assert read_all(content, there) == b"there"
    stream.data(data, 0, MIB)
    assert [one.result() for one in waiting] == [data[n * 10 : n * 10 + 10] for n in range(256)]
    assert reader.read(10, 0) == data[:10]
    reader.close()


def failing(error):
    def behaviour(ref, start, attempt):
        yield Waiting("the test fails it")
        raise error

    return behaviour


@pytest.mark.parametrize("error", [Unreachable("down"), BadAnswer("an error page")])
def test_outages_are_tried_again(content, archive, error):
    data = pattern(1000)
    ref = archive.add(data)
    archive.script = [failing(error)] * 3
    assert read_all(content, ref) == data
    assert [attempt for _, _, attempt in archive.opens] == [0, 1, 2, 3]


@pytest.mark.parametrize("error", [Unreachable("down"), BadAnswer("an error page")])
def test_readers_get_the_error_once_the_fetch_gave_up_and_the_next_open_tries_anew(content, archive, clock, error):
    data = pattern(1000)
    ref = archive.add(data)
    archive.script = [failing(error)] * 4
    reader = content.open(ref, "/a")
    with pytest.raises(type(error)):
        reader.read(10, 0)
    assert len(archive.opens) == 4
    with pytest.raises(type(error)):
        reader.read(10, 0)
    assert len(archive.opens) == 4, "the kernel asks twice"
    failed = content.downloads()[0]
    assert (failed["state"], failed["error"], failed["attempts"]) == ("failed", str(error), 4)
    assert read_all(content, ref) == data
    assert reader.read(10, 0) == data[:10]
    reader.close()


@pytest.mark.parametrize("error", [NotFound("gone"), Denied("not you"), Unobtainable("no")])
def test_what_the_server_says_is_final(content, archive, error):
    ref = archive.add(b"abc")
    archive.script = [failing(error)]
    with pytest.raises(type(error)):
        read_all(content, ref)
    assert len(archive.opens) == 1
    assert read_all(content, ref) == b"abc"


def test_an_old_handle_tries_anew_after_a_while(content, archive, clock):
    archive.script = [failing(Denied("not you"))]
    reader = content.open(archive.add(b"abc"), "/a")
    with pytest.raises(Denied):
        reader.read(3, 0)
    clock.advance(6)
    assert reader.read(3, 0) == b"abc"
    reader.close()


def test_a_broken_stream_is_continued(content, archive):
    """Bytes that are there are kept: another stream adds what is missing."""
    data = pattern(3 * MIB)
    ref = archive.add(data)
    archive.script = [Stream().data(data, 0, MIB).put(Unreachable("broken")), Stream().data(data, 0, 2 * MIB).end()]
    assert read_all(content, ref) == data
    assert [start for _, start, _ in archive.opens] == [0, 0, 0]


def test_a_silent_end_is_not_the_end(content, archive):
    data = pattern(MIB)
    ref = archive.add(data)
    archive.script = [Stream().data(data, 0, 1000).end()]
    assert read_all(content, ref) == data
    assert len(archive.opens) == 2


def test_an_error_in_an_archive_is_an_error_and_not_a_hang(content, archive, caplog):
    archive.script = [failing(KeyError("a bug"))]
    with pytest.raises(PacificaFSError):
        read_all(content, archive.add(b"abc"))
    assert "a bug" in caplog.text


def test_a_fetch_goes_on_when_its_readers_timed_out_and_stops_after_the_last_close(make, archive, clock):
    content = make(read_wait=10)
    data = pattern(MIB)
    ref = archive.add(data)
    stream = Stream().data(data, 0, 1000)
    archive.script = [stream]
    reader = content.open(ref, "/a")
    late = Background(lambda: reader.read(10, 5000))
    until(lambda: content.usage()["waiting"])
    clock.advance(60)
    with pytest.raises(WaitTimeout):
        late.result()
    assert not stream.closed.wait(0.3)
    reader.close()
    assert not stream.closed.wait(0.3)
    clock.advance(5.1)
    assert stream.closed.wait(10)
    until(lambda: content.downloads() == [])
    assert read_all(content, ref) == data


def test_a_fetch_of_more_than_half_is_finished(content, archive, clock):
    data = pattern(MIB)
    ref = archive.add(data)
    stream = Stream().data(data, 0, MIB // 2 + 1)
    archive.script = [stream]
    reader = content.open(ref, "/a")
    reader.read(10, 0)
    until(lambda: content.downloads()[0]["bytes"] > MIB // 2)
    reader.close()
    clock.advance(60)
    assert not stream.closed.wait(0.3)
    stream.data(data, MIB // 2, MIB)
    until(lambda: content.state(ref) == "cached" and not content.downloads())
    assert read_all(content, ref) == data
    assert len(archive.opens) == 1


def test_coming_back_within_the_grace_keeps_the_fetch(content, archive, clock):
    data = pattern(MIB)
    ref = archive.add(data)
    stream = Stream().data(data, 0, 1000)
    archive.script = [stream]
    reader = content.open(ref, "/a")
    reader.read(10, 0)
    reader.close()
    clock.advance(4)
    reader = content.open(ref, "/a")
    clock.advance(60)
    assert not stream.closed.wait(0.3)
    stream.data(data, 0, MIB)
    assert reader.read(MIB, 0) == data
    reader.close()


def test_close_wakes_all_who_wait(make, archive):
    """`close` wakes all waiters with an error at once, also those whose archive does not answer at all."""
    content = make()
    stuck = threading.Event()

    def hanging(ref, start, attempt):
        stuck.wait(20)
        yield Waiting("never")

    archive.script = [Stream(), hanging]
    readers = [content.open(archive.add(pattern(100, n)), f"/{n}") for n in range(2)]
    reads = [Background(lambda reader=reader: reader.read(10, 0)) for reader in readers]
    until(lambda: content.usage()["waiting"] == 2)
    Background(content.close).result(2.5)
    for read in reads:
        with pytest.raises(Unreachable):
            read.result(1)
    with pytest.raises(Unreachable):
        readers[0].read(10, 0)
    stuck.set()
    for reader in readers:
        reader.close()


def test_offline(make, archive):
    """The cache serves without the server what it has."""
    content = make()
    data = pattern(MIB)
    ref = archive.add(data)
    assert read_all(content, ref) == data
    archive.contents.clear()

    def fail(*_, **__):
        raise AssertionError("a server was asked")

    archive.open = fail
    assert read_all(content, ref) == data
    content.close()
    assert read_all(make(), ref) == data


def test_same_strong_digest_is_fetched_once(make):
    """The key is the digest where that is sha256 or stronger: the same bytes in two archives are fetched once."""
    one, two = FakeArchive("one"), FakeArchive("two")
    content = make(archives={"one": one, "two": two})
    data = pattern(1000)
    assert read_all(content, one.add(data, algorithm="sha256")) == data
    assert read_all(content, two.add(data, algorithm="sha256")) == data
    assert (len(one.opens), len(two.opens)) == (1, 0)


def test_weak_digests_and_identities_are_not_shared(make):
    """Else archive and digest, else archive, id and validator. Never shared between identities."""
    one, two = FakeArchive("one"), FakeArchive("two")
    content = make(archives={"one": one, "two": two})
    data = pattern(1000)
    ref = one.add(data, algorithm="sha1")
    for each in (ref, one.add(data, algorithm="sha1", id="copy"), two.add(data, algorithm="sha1")):
        assert read_all(content, each) == data
    assert (len(one.opens), len(two.opens)) == (1, 1)
    one.identity = "somebody else"
    assert content.state(ref) == "remote"
    assert read_all(content, ref) == data
    assert len(one.opens) == 2


@pytest.mark.parametrize("algorithm", ["sha256", "sha1", ""])
def test_one_identitys_content_is_never_anothers(make, algorithm):
    """Also not after a restart, nor while the archive is out of reach: whoever comes back finds their own."""
    mine = FakeArchive()
    data = pattern(1000)
    ref = mine.add(data, algorithm=algorithm)
    content = make(archives={"emsl": mine})
    assert read_all(content, ref) == data
    settle(content)
    content.close()

    def out_of_reach(*_):
        raise Unreachable("it is gone")
        yield

    for who in ("somebody else", "anonymous"):
        other = FakeArchive()
        other.identity, other.script = who, [out_of_reach] * 5
        content = make(archives={"emsl": other})
        assert content.state(ref) == "remote"
        with pytest.raises(Unreachable):
            read_all(content, ref)
        content.close()
    mine.script = [out_of_reach]
    assert read_all(make(archives={"emsl": mine}), ref) == data


def test_another_validator_is_another_content(content, archive):
    ref = archive.add(b"old", algorithm="", id="r", validator='"1"')
    assert read_all(content, ref) == b"old"
    new = archive.add(b"new", algorithm="", id="r", validator='"2"')
    reader = content.open(new, "/a")
    assert reader.caching is Caching.FRESH, "the path's pages are of the old content"
    assert reader.read(3, 0) == b"new"
    reader.close()


def test_status_values_can_be_shown(content, archive):
    """Every wait has a reason in `status/downloads.json`."""
    import json

    archive.script = [Stream()]
    reader = content.open(archive.add(b"abc"), "/a")
    read = Background(lambda: reader.read(3, 0))
    until(lambda: content.downloads() and content.downloads()[0]["waiting_for"])
    (entry,) = json.loads(json.dumps(content.downloads()))
    assert (entry["waiting_for"], entry["polls"], entry["waiting"]) == ("the test lets it wait", 1, 1)
    usage = json.loads(json.dumps(content.usage()))
    assert (usage["misses"], usage["hits"], usage["waiting"], usage["open"]) == (1, 0, 1, 1)
    archive.contents.clear()
    reader.close()
    content.close()
    with pytest.raises(Unreachable):
        read.result()

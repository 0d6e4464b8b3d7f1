"""Wrong bytes: handles are poisoned, pages are not trusted again, and the content is fetched anew."""

import os
from contextlib import suppress

import pytest

from pacifica_fs.archive import Data
from pacifica_fs.content.content import Caching
from pacifica_fs.errors import Corrupt, Stale
from pacifica_fs.model import Digest
from tests.unit.content.content_fakes import MIB, Background, Stream, pattern, read_all, settle, until


def wrong(data: bytes):
    """A stream of other bytes of the same size."""
    bad = bytes(255 - byte for byte in data[:10]) + data[10:]
    return Stream().data(bad, 0, len(bad)).end()


def opened(content, ref, path):
    reader = content.open(ref, path)
    reader.close()
    return reader.caching


def test_a_mismatch_that_nobody_saw_is_fetched_anew(content, archive):
    """A program that reads a file from start to end without an error has the archive's bytes."""
    data = pattern(1000)
    ref = archive.add(data)
    archive.script = [wrong(data)] * 1 + [wrong(data)]
    assert read_all(content, ref) == data
    assert [attempt for _, _, attempt in archive.opens] == [0, 1, 2]
    assert opened(content, ref, "/a") is Caching.KEEP


def test_poisoning(content, archive):
    """All open handles of the blob are poisoned (every further READ is EIO).

    Until the last of them is released, new opens of any path of that blob are `direct_io`; then each path is opened
    once without `keep_cache`, and the content is fetched anew.
    """
    data = pattern(2 * MIB)
    ref = archive.add(data)
    bad = b"x" + data[1:]
    stream = Stream().data(bad, 0, MIB)
    archive.script = [stream]
    one, two = content.open(ref, "/one"), content.open(ref, "/two")
    idle = content.open(ref, "/three")
    assert (one.caching, two.caching) == (Caching.KEEP, Caching.KEEP)
    assert one.read(10, 0) == bad[:10]
    end = Background(lambda: two.read(10, 2 * MIB - 10))
    until(lambda: content.usage()["waiting"])
    stream.data(bad, MIB, 2 * MIB).end()
    with pytest.raises(Corrupt):
        end.result()
    for reader in (one, two, idle):
        for offset in (0, 100, 2 * MIB - 10):
            with pytest.raises(Corrupt):
                reader.read(10, offset)
        assert reader.fd == -1

    direct = content.open(ref, "/one")
    assert direct.caching is Caching.DIRECT
    assert direct.read(2 * MIB, 0) == data, "fetched anew"
    assert archive.opens[-1][2] == 1, "by the next way"
    one.close()
    two.close()
    assert opened(content, ref, "/four") is Caching.DIRECT
    idle.close()
    assert [opened(content, ref, "/one") for _ in range(2)] == [Caching.FRESH, Caching.KEEP]
    assert [opened(content, ref, "/two") for _ in range(2)] == [Caching.FRESH, Caching.KEEP]
    assert opened(content, ref, "/three") is Caching.FRESH
    assert [opened(content, ref, "/four") for _ in range(2)] == [Caching.FRESH, Caching.KEEP]
    assert opened(content, ref, "/never opened") is Caching.KEEP
    assert direct.read(10, 0) == data[:10]
    direct.close()
    assert content.state(ref) == "cached"


def test_repeated_mismatch_is_corrupt_for_a_while(content, archive, clock):
    """Fetched anew a few times, then `corrupt`: EIO at once for a while; then a new open may try again."""
    data = pattern(1000)
    ref = archive.add(data)
    archive.script = [wrong(data) for _ in range(4)]
    reader = content.open(ref, "/a")
    with pytest.raises(Corrupt):
        reader.read(10, 0)
    assert content.state(ref) == "corrupt"
    with pytest.raises(Corrupt):
        read_all(content, ref)
    clock.advance(30)
    with pytest.raises(Corrupt):
        reader.read(10, 0)
    assert len(archive.opens) == 4
    assert content.downloads()[0]["state"] == "corrupt"
    clock.advance(31)
    assert content.state(ref) == "remote"
    assert read_all(content, ref) == data
    reader.close()
    until(lambda: content.downloads() == [])


def test_mismatches_seen_by_readers_count_too(content, archive, clock):
    data = pattern(MIB)
    ref = archive.add(data)
    for _ in range(4):
        stream = Stream().data(b"x" + data[1:1000], 0, 1000)
        archive.script = [stream]
        reader = content.open(ref, "/a")
        assert reader.read(1, 0) == b"x"
        stream.data(data, 1000, MIB).end()
        with pytest.raises(Corrupt):
            reader.read(10, MIB - 10)
        reader.close()
    assert content.state(ref) == "corrupt"
    assert [attempt for _, _, attempt in archive.opens] == [0, 1, 2, 3]
    clock.advance(61)
    reader = content.open(ref, "/a")
    assert reader.caching is Caching.FRESH
    assert reader.read(MIB, 0) == data
    reader.close()


@pytest.mark.parametrize("claimed", [500_000, 1_500_000])
def test_right_digest_but_another_size(content, archive, claimed):
    """Right digest but another size than claimed: `corrupt-size`, EIO, the true size shown from the next open."""
    data = pattern(MIB)
    ref = archive.add(data, size=claimed)
    assert content.size(ref) == claimed
    reader = content.open(ref, "/a")
    assert reader.size == claimed
    with suppress(Corrupt):  # all may be there, and judged, before this thread has a look
        assert reader.read(10, 0) == data[:10]
    with pytest.raises(Corrupt):
        reader.read(10, claimed - 10)
    with pytest.raises(Corrupt):
        reader.read(10, 0)
    assert content.downloads()[-1]["state"] == "corrupt-size"
    assert content.size(ref) == MIB
    again = content.open(ref, "/a")
    assert (again.size, again.caching) == (MIB, Caching.DIRECT), "the kernel's pages have the old end"
    assert again.read(2 * MIB, 0) == data
    again.close()
    reader.close()
    assert opened(content, ref, "/a") is Caching.DIRECT
    assert len(archive.opens) == 1


def test_the_true_size_is_known_after_a_restart(make, archive):
    data = pattern(1000)
    ref = archive.add(data, size=900)
    content = make()
    with pytest.raises(Corrupt):
        read_all(content, ref)
    until(lambda: content.usage()["files"] == 1 and content.usage()["open"] == 0)
    content.close()
    again = make()
    until(lambda: again.usage()["files"] == 1)
    assert read_all(again, ref) == data
    assert again.size(ref) == 1000
    assert len(archive.opens) == 1


def test_a_size_without_a_digest_is_a_bad_answer(content, archive):
    ref = archive.add(pattern(1000), algorithm="", size=900)
    with pytest.raises(Exception, match="1000 bytes and not 900"):
        read_all(content, ref)


def test_a_digest_that_nobody_can_compute_is_unverified(content, archive):
    for digest in (Digest("crc99", "00"), Digest("sha256", "../../../etc/passwd"), Digest("sha256", "ab")):
        ref = archive.add(b"abc", digest=digest)
        assert read_all(content, ref) == b"abc"
        assert content.state(ref) == "unverified"


def test_abandoned_bytes_are_not_trusted_when_the_rest_comes_later(content, archive, clock):
    """Pages of a fetch that was given up and dropped were never verified: the path is opened without keep_cache."""
    data = pattern(MIB)
    ref = archive.add(data)
    archive.script = [Stream().data(b"x" * 1000, 0, 1000)]
    reader = content.open(ref, "/a")
    assert reader.read(10, 0) == b"x" * 10
    reader.close()
    clock.advance(6)
    until(lambda: content.downloads() == [])
    assert content.evict(ref)
    assert opened(content, ref, "/a") is Caching.FRESH
    assert read_all(content, ref) == data


def test_kept_bytes_are_judged_with_the_rest(content, archive, clock):
    """Bytes handed out are never written over: the digest judges what programs saw."""
    data = pattern(MIB)
    ref = archive.add(data)
    archive.script = [Stream().data(b"x" * 1000, 0, 1000)]
    reader = content.open(ref, "/a")
    assert reader.read(10, 0) == b"x" * 10
    reader.close()
    clock.advance(6)
    until(lambda: content.downloads() == [])
    reader = content.open(ref, "/a")
    assert reader.caching is Caching.KEEP
    with pytest.raises(Corrupt):
        for offset in range(0, MIB, 65536):
            reader.read(65536, offset)
    reader.close()
    assert read_all(content, ref) == data


def cached_file(tmp_path):
    (found,) = [path for path in (tmp_path / "content" / "complete").rglob("*") if path.is_file()]
    return found


def test_damage_found_at_open(content, archive, tmp_path):
    """A complete blob found damaged (another size on disk) is fetched again."""
    data = pattern(1000)
    ref = archive.add(data)
    read_all(content, ref)
    settle(content)
    os.truncate(cached_file(tmp_path), 999)
    reader = content.open(ref, "/a")
    assert reader.caching is Caching.FRESH
    assert reader.read(1000, 0) == data
    reader.close()
    assert len(archive.opens) == 2


def test_damage_found_while_open(content, archive, tmp_path):
    data = pattern(MIB)
    ref = archive.add(data)
    read_all(content, ref, "/a")
    reader, other = content.open(ref, "/a"), content.open(ref, "/b")
    settle(content)
    os.truncate(cached_file(tmp_path), 1000)
    with pytest.raises(Corrupt):
        reader.read(MIB, 0)
    with pytest.raises(Corrupt):
        other.read(10, 0)
    assert (reader.fd, other.fd) == (-1, -1)
    new = content.open(ref, "/a")
    assert new.caching is Caching.DIRECT
    assert new.read(MIB, 0) == data
    for each in (reader, other, new):
        each.close()
    assert opened(content, ref, "/a") is Caching.FRESH


def test_verify(content, archive, tmp_path):
    data = pattern(1000)
    ref = archive.add(data)
    assert content.verify(ref) is False, "nothing there"
    read_all(content, ref)
    assert content.verify(ref) is True
    settle(content)
    with open(cached_file(tmp_path), "r+b") as stream:
        stream.write(b"bad")
    reader = content.open(ref, "/a")
    assert reader.fd >= 0
    assert content.verify(ref) is False
    assert reader.fd == -1
    with pytest.raises(Corrupt):
        reader.read(10, 0)
    assert opened(content, ref, "/b") is Caching.DIRECT
    reader.close()
    assert opened(content, ref, "/a") is Caching.FRESH
    assert read_all(content, ref) == data
    assert content.verify(ref) is True


def test_a_runaway_stream_is_cut(make, archive):
    content = make(limit=2**20)
    ref = archive.add(b"abc")

    def endless(ref, start, attempt):

        block = bytes(8 * MIB)
        for n in range(100):
            yield Data(0, n * len(block), block)
        raise AssertionError("nobody stopped it")

    archive.script = [endless]
    assert read_all(content, ref) == b"abc"
    assert content.state(ref) == "cached"


def test_what_changed_on_the_server_is_an_error_for_its_readers_and_listed_anew(make, archive):
    """`Stale` is final: what came before is never mixed with what comes later, and the listing is asked for anew."""
    told = []
    content = make(stale=told.append)
    data = pattern(4 * MIB)
    ref = archive.add(data)
    stream = Stream().data(data, 0, MIB)
    archive.script = [stream]
    reader = content.open(ref, "/a")
    assert reader.read(1000, 0) == data[:1000]
    stream.put(Stale("it is another version"))
    with pytest.raises(Stale):
        reader.read(1000, 2 * MIB)
    with pytest.raises(Stale):
        reader.read(1000, 0)
    until(lambda: told == [ref])
    other = content.open(ref, "/a")
    assert other.caching is Caching.DIRECT
    assert other.read(4 * MIB, 0) == data
    assert len(archive.opens) == 2 and archive.opens[1][1] == 0
    reader.close()
    other.close()

"""What is pinned stays, across restarts and processes; requests say what is in the cache."""

import pytest

from pacifica_fs.errors import Denied, NoSpace, NotPermitted, TooBusy
from tests.unit.content.content_fakes import MIB, pattern, read_all, settle, until

LIMIT = 8 * MIB


def fill(content, archive, clock, number):
    for _ in range(number):
        clock.advance(10)
        read_all(content, archive.add(pattern(MIB, len(archive.contents) + 1)), f"/{len(archive.contents)}")


def test_what_is_pinned_is_never_evicted_also_by_others_who_share_the_cache(make, archive, clock):
    content = make(limit=LIMIT)
    ref = archive.add(pattern(MIB))
    read_all(content, ref)
    content.pin(ref, True)
    other = make(limit=LIMIT)
    fill(other, archive, clock, 12)
    assert other.usage()["evicted"] and other.usage()["pinned"] == 1
    assert content.state(ref) == "cached"
    content.pin(ref, False)
    fill(other, archive, clock, 12)
    until(lambda: content.state(ref) == "remote")


def test_pins_outlive_a_restart(make, archive):
    content = make()
    ref = archive.add(pattern(1000))
    content.pin(ref, True)
    content.pin(ref, True)
    content.close()
    again = make()
    assert again.pinned(ref)
    assert (again.usage()["pinned"], again.usage()["pinned_bytes"]) == (1, 1000)
    assert again.pins() == [{"archive": "emsl", "container": "67", "path": f"data/{ref.id}", "size": 1000}]


def test_pins_leave_room_for_the_rest(make, archive):
    content = make(limit=LIMIT)
    for _ in range(7):
        content.pin(archive.add(pattern(MIB, len(archive.contents))), True)
    last = archive.add(pattern(MIB, 99))
    with pytest.raises(NoSpace, match="raise"):
        content.pin(last, True)
    assert read_all(content, last) == pattern(MIB, 99)


def test_requests(content, archive):
    ref = archive.add(pattern(1000))
    assert content.request(ref, b'{"do": "evict"}')  # not there: as wanted
    read_all(content, ref)
    settle(content)
    assert content.request(ref, b'{"do": "pin"}') and content.pinned(ref)
    with pytest.raises(NotPermitted):
        content.request(ref, b'{"do": "evict"}')
    assert content.request(ref, b'{"do": "unpin"}') and not content.pinned(ref)
    assert content.request(ref, b'{"do": "verify"}') and content.state(ref) == "cached"
    reader = content.open(ref, "/a")
    with pytest.raises(TooBusy):
        content.request(ref, b'{"do": "evict"}')
    reader.close()
    assert content.request(ref, b'{"do": "evict"}') and content.state(ref) == "remote"


def test_what_is_no_request_of_ours_is_for_others(content, archive):
    ref = archive.add(pattern(1000))
    for data in (b'{"do": "recall"}', b"nonsense", b"[]", b"\xff", b""):
        assert not content.request(ref, data, allowed=False)


def test_only_who_mounted_it_says_what_is_in_the_cache(content, archive):
    ref = archive.add(pattern(1000))
    for do in (b"evict", b"verify", b"pin", b"unpin"):
        with pytest.raises(Denied):
            content.request(ref, b'{"do": "%s"}' % do, allowed=False)
    assert not content.pinned(ref)

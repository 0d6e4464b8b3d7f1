"""Uploads in parts, against SeaweedFS itself."""

import os

import pytest

from pacifica_fs.archives.djarchive.multipart import Multipart
from pacifica_fs.archives.djarchive.store import Bucket, Keys, Place
from pacifica_fs.clock import SystemClock
from pacifica_fs.errors import Denied, NotFound, Unreachable
from tests.servers.faults import Reply
from tests.servers.seaweedfs import ADMIN

PART = 5 << 20
KEY = "multipart/a b+é,~(1)'%.bin"


@pytest.fixture
def connected(seaweedfs, tmp_path):
    """connected(endpoint, keys, ca) → its uploads, and the bucket."""
    made = []

    def make(endpoint=seaweedfs.https, keys=ADMIN, ca=None):
        text = seaweedfs.ca.read_text() if ca is None else ca
        place = Place(endpoint, seaweedfs.private, ca=text, connect=2, read=20)
        made.append(Multipart(place, Keys(*keys), SystemClock(), tmp_path / "state"))
        return made[-1], Bucket(place, lambda: Keys(*keys))

    yield make
    for each in made:
        each.close()


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_parts_become_an_object(connected, seaweedfs, scheme):
    uploads, bucket = connected(getattr(seaweedfs, scheme))
    data = os.urandom(2 * PART + 17)
    upload = uploads.begin(KEY)
    assert uploads.parts(KEY, upload) == {}
    pieces = {1: data[:PART], 2: data[PART : 2 * PART], 3: data[2 * PART :]}
    etags = {number: uploads.put(KEY, upload, number, pieces[number]) for number in (3, 1, 2)}
    there = uploads.parts(KEY, upload)
    assert {number: size for number, (_, size) in there.items()} == {1: PART, 2: PART, 3: 17}
    assert {number: etag.strip('"') for number, (etag, _) in there.items()} == {
        number: etag.strip('"') for number, etag in etags.items()
    }
    etag = uploads.complete(KEY, upload, {number: etag for number, (etag, _) in there.items()})
    found, about = bucket.get(KEY)
    assert bytes(found) == data
    assert about.etag.strip('"') == etag.strip('"')


def test_what_was_given_up_is_not_there(connected):
    uploads, bucket = connected()
    upload = uploads.begin("multipart/gone")
    uploads.put("multipart/gone", upload, 1, b"1")
    uploads.abort("multipart/gone", upload)
    with pytest.raises(NotFound):
        uploads.parts("multipart/gone", upload)
    with pytest.raises(NotFound):
        bucket.head("multipart/gone")


def test_a_wrong_key_is_denied_and_not_shown(connected):
    uploads, _ = connected(keys=(ADMIN[0], "wrong-secret"))
    with pytest.raises(Denied) as caught:
        uploads.begin(KEY)
    assert "wrong-secret" not in str(caught.value)


def test_without_the_authority_there_is_no_connection(connected):
    uploads, _ = connected(ca="")
    with pytest.raises(Unreachable, match="ca_bundle"):
        uploads.begin(KEY)


def test_a_part_that_meets_an_outage_is_sent_again(connected, seaweedfs, faulty):
    proxy = faulty(seaweedfs.http)
    uploads, bucket = connected(proxy.url)
    upload = uploads.begin("multipart/again")
    proxy.on("PUT", r"partNumber=1&", Reply(503), times=1)
    etag = uploads.put("multipart/again", upload, 1, b"again")
    uploads.complete("multipart/again", upload, {1: etag})
    assert bytes(bucket.get("multipart/again")[0]) == b"again"

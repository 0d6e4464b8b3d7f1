import pytest
import requests

from pacifica_fs.archive import Data
from pacifica_fs.errors import BadAnswer, Unreachable, Unsupported
from pacifica_fs.model import Digest

AI, PROXY, CART = "http://ai.example", "http://proxy.example", "http://cart.example"
DOWN = {"exc": requests.exceptions.ConnectionError("refused")}


@pytest.fixture
def all_ways(site, requests_mock, tar):
    requests_mock.post(requests_mock_any(CART), status_code=201)
    requests_mock.head(requests_mock_any(CART), status_code=204, headers={"X-Pacifica-Status": "ready"})
    requests_mock.get(requests_mock_any(CART), content=tar({"c/7": b"cart!", "c/8": b"CART!"}))
    requests_mock.delete(requests_mock_any(CART), json={})
    ways = {"archive_interface": AI, "files_by_hash": PROXY, "cart": CART}
    built = site(policy="http://policy.example", **ways, ranges="trusted")
    yield built.archive
    built.archive.close()


def requests_mock_any(base):
    import re

    return re.compile("^" + re.escape(base) + "/.*")


def read(archive, files, **options):
    found = {}
    for arrival in archive.open(files, **options):
        if isinstance(arrival, Data):
            found.setdefault(arrival.index, (arrival.offset, b""))
            found[arrival.index] = (found[arrival.index][0], found[arrival.index][1] + bytes(arrival.data))
    return found


def test_each_attempt_begins_one_further_down_and_the_last_repeats(all_ways, ref, requests_mock):
    file = ref(b"hello")
    requests_mock.get(AI + "/7", content=b"fromA")
    requests_mock.get(f"{PROXY}/files/sha1/{file.digest.value}", content=b"fromP")
    ways = [read(all_ways, [file], attempt=attempt)[0][1] for attempt in range(5)]
    assert ways == [b"fromA", b"fromP", b"cart!", b"cart!", b"cart!"]


@pytest.mark.parametrize("broken", [DOWN, {"status_code": 500, "json": {"message": "no file"}}, {"status_code": 404}])
def test_a_way_that_fails_before_any_byte_is_followed_by_the_next(all_ways, ref, requests_mock, broken):
    requests_mock.get(AI + "/7", [broken])
    requests_mock.get(f"{PROXY}/files/sha1/{ref().digest.value}", [broken])
    assert read(all_ways, [ref()]) == {0: (0, b"cart!")}


def test_of_a_batch_only_the_rest_goes_to_the_next_way(all_ways, ref, requests_mock):
    requests_mock.get(AI + "/7", content=b"fromA")
    requests_mock.get(AI + "/8", status_code=500)
    requests_mock.get(f"{PROXY}/files/sha1/{ref(b'x').digest.value}", status_code=404)
    assert read(all_ways, [ref(), ref(b"x", "8")]) == {0: (0, b"fromA"), 1: (0, b"CART!")}


def test_a_way_that_breaks_after_bytes_is_an_error(all_ways, ref, requests_mock):
    requests_mock.get(AI + "/7", content=b"hel", headers={"Content-Length": "5"})
    with pytest.raises(Unreachable):
        read(all_ways, [ref()])


def test_a_way_that_is_down_is_passed_over_for_a_while(all_ways, ref, requests_mock, clock):
    down = requests_mock.get(AI + "/7", [DOWN])
    proxy = requests_mock.get(f"{PROXY}/files/sha1/{ref().digest.value}", content=b"fromP")
    assert read(all_ways, [ref()]) == {0: (0, b"fromP")}
    asked = down.call_count
    assert read(all_ways, [ref()]) == {0: (0, b"fromP")}
    assert down.call_count == asked and proxy.call_count == 2
    clock.sleep(31)
    read(all_ways, [ref()])
    assert down.call_count > asked


def test_the_last_ways_error_is_the_one_that_is_raised(site, ref, requests_mock):
    requests_mock.get(AI + "/7", [DOWN])
    requests_mock.get(f"{PROXY}/files/sha1/{ref().digest.value}", status_code=500, json={"message": "part missing"})
    archive = site(policy="http://policy.example", archive_interface=AI, files_by_hash=PROXY).archive
    with pytest.raises(BadAnswer, match="part missing"):
        read(archive, [ref()])


def test_a_range_where_it_is_trusted(all_ways, ref, requests_mock):
    requests_mock.get(AI + "/7?byte_range=2-5", content=b"llo")
    assert read(all_ways, [ref()], start=2) == {0: (2, b"llo")}
    assert all_ways.capabilities.ranges


def test_no_range_where_it_is_not(site, ref, requests_mock):
    requests_mock.get(AI + "/7", content=b"hello")
    archive = site(policy="http://policy.example", archive_interface=AI).archive
    assert read(archive, [ref()], start=2) == {0: (0, b"hello")}
    assert requests_mock.last_request.query == ""
    assert not archive.capabilities.ranges


def test_an_empty_file_needs_no_request(site, ref, requests_mock):
    archive = site(policy="http://policy.example", cart=CART).archive
    assert read(archive, [ref(b"")]) == {}
    assert read(archive, [ref(b"", digest=None)]) == {}
    assert requests_mock.call_count == 0


def test_a_file_that_only_claims_to_be_empty_does(all_ways, ref, requests_mock):
    requests_mock.get(AI + "/7", content=b"hello")
    assert read(all_ways, [ref(b"hello", size=0)]) == {0: (0, b"hello")}
    assert read(all_ways, [ref(b"hello", size=0, digest=Digest("nosuch", "ab"))]) == {0: (0, b"hello")}


def test_nothing_is_configured_to_read_with(site, ref):
    archive = site(policy="http://policy.example").archive
    with pytest.raises(Unsupported, match="cart"):
        read(archive, [ref()])


def test_capabilities(site):
    cart = site(policy="http://policy.example", cart=CART, parallel=3).archive.capabilities
    assert (cart.instant, cart.ranges, cart.parallel) == (False, False, 3) and cart.batch > 1
    assert site(policy="http://policy.example", files_by_hash=PROXY).archive.capabilities.instant

import contextlib

import pytest
import requests

from pacifica_fs.archive import Data, Waiting
from pacifica_fs.archives.pacifica.cartrun import Carts
from pacifica_fs.errors import BadAnswer, Unreachable

BASE = "http://cart.example"
STAGING = {"status_code": 204, "headers": {"X-Pacifica-Status": "staging", "X-Pacifica-Message": ""}}
READY = {"status_code": 204, "headers": {"X-Pacifica-Status": "ready", "X-Pacifica-Message": ""}}
GONE = {"status_code": 404, "headers": {"X-Pacifica-Status": "error", "X-Pacifica-Message": "No cart with uid"}}
HASH = "Failed to pull file(Failed to pull with error: File hash does not match provided hash)"
ERROR = {"status_code": 500, "headers": {"X-Pacifica-Status": "error", "X-Pacifica-Message": HASH}}
MISSING = {"status_code": 404, "json": {"status": "404 Not Found", "message": "Not Found", "traceback": ""}}


class Server:
    """A scripted cart service: for each cart in turn, the answers to HEAD (the last repeats) and to GET."""

    def __init__(self, mock, clock, http, scripts, stuck=1800.0):
        self.mock = mock
        self.clock = clock
        uids = iter("uvwxyz")
        self.used = []

        def new_uid():
            uid = next(uids)
            self.used.append(uid)
            return uid

        for uid, (heads, gets) in zip("uvwxyz", scripts, strict=False):
            mock.post(f"{BASE}/{uid}", status_code=201, json={"message": "Cart Processing has begun"})
            mock.head(f"{BASE}/{uid}", heads)
            mock.get(f"{BASE}/{uid}", gets or [{"status_code": 599}])
            mock.delete(f"{BASE}/{uid}", status_code=200, json={})
        self.carts = Carts(http(BASE), clock, stuck, new_uid)

    def requests(self, method):
        return [request.path for request in self.mock.request_history if request.method == method]


@pytest.fixture
def server(requests_mock, clock, http):
    return lambda *scripts, **options: Server(requests_mock, clock, http, scripts, **options)


def content(arrivals):
    """Bytes by index, offsets checked."""
    found = {}
    for arrival in arrivals:
        if isinstance(arrival, Data):
            assert arrival.offset == len(found.get(arrival.index, b""))
            found[arrival.index] = found.get(arrival.index, b"") + bytes(arrival.data)
    return found


def test_one_file(server, ref, tar):
    site = server(([STAGING, STAGING, READY], [{"content": tar({"c/7": b"hello"})}]))
    wanted = {0: ref()}
    arrivals = list(site.carts.read(wanted))
    assert content(arrivals) == {0: b"hello"} and not wanted
    posted = site.mock.request_history[0].json()
    assert posted == {"fileids": [{"id": 7, "path": "7", "hashtype": "sha1", "hashsum": ref().digest.value}]}
    assert [r.query for r in site.mock.request_history if r.method == "GET"] == ["filename=c"]
    assert site.requests("DELETE") == ["/u"]
    kinds = [type(arrival) for arrival in arrivals]
    assert kinds == [Waiting, Waiting, Waiting, Data, type(None)]
    assert arrivals[2] == Waiting("the site is staging it", BASE + "/u", 2)


def test_many_files_in_the_servers_order(server, ref, tar):
    files = {"c/9": b"nine", "c/8": b"", "c/7": b"hello" * 100_000}
    site = server(([READY], [{"content": tar(files)}]))
    wanted = {0: ref(files["c/7"], "7"), 1: ref(b"nine", "9"), 2: ref(b"", "8", size=3)}
    assert content(site.carts.read(wanted)) == {0: files["c/7"], 1: b"nine"}
    assert not wanted


def test_the_tars_size_counts_not_the_listed_one(server, ref, tar):
    site = server(([READY], [{"content": tar({"c/7": b"hello"})}]))
    assert content(site.carts.read({0: ref(size=999)})) == {0: b"hello"}


def test_foreign_and_escaping_members_are_passed_over(server, ref, tar):
    files = {"../../etc/passwd": b"x" * 2000, "/c/7": b"evil", "d/7": b"evil", "c/7": b"hello"}
    site = server(([READY], [{"content": tar(files)}]))
    assert content(site.carts.read({0: ref()})) == {0: b"hello"}


@pytest.mark.parametrize("body", [b"", b"not a tar" * 100, "short", "other"])
def test_a_bad_tar_is_asked_for_again(server, ref, tar, body):
    good = tar({"c/7": b"hello"})
    bad = {"short": good[:700], "other": tar({"c/8": b"hello"})}.get(body, body)
    site = server(([READY], [{"content": bad}]), ([READY], [{"content": good}]))
    assert content(site.carts.read({0: ref()})) == {0: b"hello"}
    assert site.requests("DELETE") == ["/u", "/v"]


def test_a_tar_cut_within_the_file_is_an_error_after_its_bytes(server, ref, tar):
    big = b"x" * 500_000
    site = server(([READY], [{"content": tar({"c/7": big})[:300_000]}]))
    arrivals = site.carts.read({0: ref(big)})
    received = 0
    with pytest.raises(BadAnswer, match="too early"):
        for arrival in arrivals:
            received += len(arrival.data) if isinstance(arrival, Data) else 0
    assert 0 < received < 300_000
    assert site.requests("DELETE") == ["/u"]


def test_a_stream_that_breaks_off_is_an_outage(server, ref, tar):
    big = b"x" * 500_000
    whole = tar({"c/7": big})
    cut = {"content": whole[:300_000], "headers": {"Content-Length": str(len(whole))}}
    site = server(([READY], [cut]))
    with pytest.raises((Unreachable, BadAnswer)):
        list(site.carts.read({0: ref(big)}))
    assert site.requests("DELETE") == ["/u"]


def test_202_is_not_ready(server, ref, tar):
    later = {"status_code": 202, "text": "The cart is not ready for download."}
    site = server(([READY, STAGING, READY], [later, {"content": tar({"c/7": b"hello"})}]))
    assert content(site.carts.read({0: ref()})) == {0: b"hello"}
    assert site.requests("POST") == ["/u"]


@pytest.mark.parametrize("script", [([STAGING, GONE], None), ([READY], [MISSING])])
def test_a_purged_cart_is_posted_again(server, ref, tar, script):
    site = server(script, ([READY], [{"content": tar({"c/7": b"hello"})}]))
    assert content(site.carts.read({0: ref()})) == {0: b"hello"}
    assert site.requests("POST") == ["/u", "/v"]


def test_a_cart_that_is_always_purged_ends_in_an_error(server, ref):
    site = server(*[([GONE], None)] * 5)
    with pytest.raises(Unreachable, match="removed the cart 5 times"):
        list(site.carts.read({0: ref()}))


def test_an_error_is_final_for_a_cart_and_after_three_for_the_file(server, ref):
    site = server(*[([STAGING, ERROR], None)] * 3)
    with pytest.raises(BadAnswer, match="hash does not match"):
        list(site.carts.read({0: ref()}))
    assert site.requests("POST") == site.requests("DELETE") == ["/u", "/v", "/w"]


def test_a_batch_in_error_is_not_tried_again(server, ref):
    site = server(([ERROR], None))
    with pytest.raises(BadAnswer):
        list(site.carts.read({0: ref(), 1: ref(b"x", "8")}))
    assert site.requests("POST") == ["/u"]


def test_a_stuck_cart_is_replaced_once(server, ref, clock):
    site = server(([STAGING], None), ([STAGING], None), stuck=60.0)
    begun = clock.time
    waits, before = [], begun
    with pytest.raises(Unreachable, match="does not finish staging"):
        for _ in site.carts.read({0: ref()}):
            waits.append(clock.time - before)
            before = clock.time
    assert 120 <= clock.time - begun <= 130
    assert max(waits) <= 2.6
    assert site.requests("POST") == site.requests("DELETE") == ["/u", "/v"]


def test_a_service_that_restarts_is_waited_for(server, ref, tar):
    down = {"exc": requests.exceptions.ConnectionError("refused")}
    site = server(([STAGING, down, down, READY], [{"content": tar({"c/7": b"hello"})}]))
    assert content(site.carts.read({0: ref()})) == {0: b"hello"}


def test_a_service_that_stays_down_is_an_outage_and_its_cart_is_deleted_later(server, ref, tar, requests_mock):
    down = {"exc": requests.exceptions.ConnectionError("refused")}
    site = server(([STAGING, down], None), ([READY], [{"content": tar({"c/7": b"hello"})}]))
    with pytest.raises(Unreachable):
        list(site.carts.read({0: ref()}))
    assert site.requests("DELETE") == []
    assert content(site.carts.read({0: ref()})) == {0: b"hello"}
    assert site.requests("DELETE") == ["/v", "/u"]


def test_a_proxys_404_is_not_a_purged_cart(server, ref):
    page = {"status_code": 404, "headers": {"Content-Type": "text/html"}}
    site = server(([page], None))
    with pytest.raises(BadAnswer):
        list(site.carts.read({0: ref()}))
    assert site.requests("POST") == ["/u"]


def test_closing_early_deletes_the_cart(server, ref, tar):
    site = server(([READY], [{"content": tar({"c/7": b"x" * 3_000_000})}]))
    with contextlib.closing(site.carts.read({0: ref()})) as arrivals:
        for arrival in arrivals:
            if isinstance(arrival, Data):
                break
    assert site.requests("DELETE") == ["/u"]


def test_closing_while_staging_deletes_the_cart(server, ref):
    site = server(([STAGING], None))
    with contextlib.closing(site.carts.read({0: ref()})) as arrivals:
        for _, _ in zip(range(3), arrivals, strict=False):
            pass
    assert site.requests("DELETE") == ["/u"]


def test_the_end_is_said_before_the_cart_is_deleted(server, ref, tar):
    site = server(([READY], [{"content": tar({"c/7": b"hello"})}]))
    arrivals = site.carts.read({0: ref()})
    while next(arrivals) is not None:
        pass
    assert site.requests("DELETE") == []
    assert list(arrivals) == []
    assert site.requests("DELETE") == ["/u"]


def test_a_failing_delete_hurts_nobody(server, ref, tar, requests_mock):
    site = server(([READY], [{"content": tar({"c/7": b"hello"})}]))
    requests_mock.delete(BASE + "/u", status_code=500, json={"message": "x"})
    assert content(site.carts.read({0: ref()})) == {0: b"hello"}


def test_a_file_without_a_hash_is_never_asked_for(server, ref):
    site = server(([READY], None))
    with pytest.raises(BadAnswer, match="no hash"):
        list(site.carts.read({0: ref(digest=None)}))
    assert site.requests("POST") == []

"""What strangers may have fetched: no private address, by whatever name or redirect it is reached."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from pacifica_fs.clock import SystemClock
from pacifica_fs.errors import ConfigError, NotPermitted, PacificaFSError, Unreachable
from pacifica_fs.transport.http import Http
from pacifica_fs.transport.reach import Policy, Reach
from pacifica_fs.transport.retry import NEVER

PRIVATE = [
    "127.0.0.1", "10.0.0.1", "172.16.3.4", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
    "::1", "fe80::1", "fe80::1%eth0", "fd00::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1",
    "2002:7f00:1::", "ff02::1", "::", "nonsense",
]  # fmt: skip


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_are_refused_by_default_whatever_they_are_called(address):
    assert not Policy().permits("data.example.org", 80, address)
    assert not Policy(["*.example.org"]).permits("data.example.org", 80, address)


def test_public_addresses_are_allowed_by_default():
    for address in ("93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"):
        assert Policy().permits("data.example.org", 443, address)
        assert not Policy([]).permits("data.example.org", 443, address)
        assert not Policy(["other.org"]).permits("data.example.org", 443, address)


def test_what_is_named_is_allowed_where_it_is_private():
    policy = Policy(["ckan.site", "localhost:5000", "10.1.0.0/16", "[::1]:8080", "*"])
    assert policy.permits("ckan.site", 80, "10.9.9.9") and policy.permits("CKAN.site.", 80, "10.9.9.9")
    assert policy.permits("localhost", 5000, "127.0.0.1") and not policy.permits("localhost", 5001, "127.0.0.1")
    assert policy.permits("any.thing", 80, "10.1.2.3") and not policy.permits("any.thing", 80, "10.2.2.3")
    assert policy.permits("::1", 8080, "::1") and not policy.permits("::1", 80, "::1")


@pytest.mark.parametrize("entry", ["http://a.org", "me@a.org", "", "10.0.0.0/99", "a.*", "a.org:port"])
def test_what_is_no_host_is_an_error(entry):
    with pytest.raises(ConfigError, match="a host, host:port, network or"):
        Policy([entry])


def test_other_protocols_are_refused():
    for url in ("ftp://a.org/x", "file:///etc/passwd", "gopher://a.org", "http://", "http://[", "nothing"):
        with pytest.raises(NotPermitted):
            Policy().check_url(url)
    with pytest.raises(NotPermitted, match="not one of the allowed hosts"):
        Policy(["a.org"]).check_url("http://b.org/")
    Policy(["a.org"]).check_url("http://a.org:81/")


@contextmanager
def server(answer):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            answer(self)

        def log_message(self, *args):
            pass

    made = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.daemon_threads = True
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    try:
        yield made.server_address[1]
    finally:
        made.shutdown()
        thread.join()
        made.server_close()


def ok(handler):
    handler.send_response(200)
    handler.send_header("Content-Length", "2")
    handler.end_headers()
    handler.wfile.write(b"ok")


def http(reach, url):
    return Http(url, clock=SystemClock(), reach=reach, retry=NEVER)


def test_a_redirect_to_what_is_not_allowed_is_not_followed():
    asked = []

    def secret(handler):
        asked.append(handler.path)
        ok(handler)

    with server(secret) as inside:

        def lead(handler):
            handler.send_response(302)
            handler.send_header("Location", f"http://127.0.0.1:{inside}/secret")
            handler.end_headers()

        with server(lead) as outside:
            client = http(Reach(Policy([f"127.0.0.1:{outside}", "*"])), f"http://127.0.0.1:{outside}")
            with pytest.raises(NotPermitted, match=r"127\.0\.0\.1 may not be reached"):
                client.request("GET", "/")
            client.close()
    assert not asked


def test_a_name_that_becomes_another_address_the_second_time(monkeypatch):
    """DNS rebinding: the address of the connection itself is judged."""
    with server(ok) as port:
        seen = []

        def resolve(host, *args, **kwargs):
            seen.append(host)
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        client = http(Reach(Policy()), f"http://rebound.example.org:{port}")
        with pytest.raises(NotPermitted, match=r"rebound.example.org \(127.0.0.1\) may not be reached"):
            client.request("GET", "/")
        client.close()
    assert seen == ["rebound.example.org"], "asked once: what is judged is what is connected to"


def test_what_is_allowed_works_and_proxies_of_the_environment_are_not_asked(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with server(ok) as port:
        client = http(Reach(Policy([f"localhost:{port}"])), f"http://localhost:{port}")
        assert client.request("GET", "/").body == b"ok"
        client.close()


def test_nothing_listens_there_is_an_outage():
    client = http(Reach(Policy(["127.0.0.1"])), "http://127.0.0.1:9")
    with pytest.raises(Unreachable):
        client.request("GET", "/")
    client.close()


def test_a_connection_that_hangs_can_be_cut():
    waiting = threading.Event()

    def drip(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", "1000000")
        handler.end_headers()
        waiting.set()
        with suppress(OSError):
            for _ in range(600):
                handler.wfile.write(b"x")
                time.sleep(0.1)

    with server(drip) as port:
        reach = Reach(Policy(["127.0.0.1"]))
        client = http(reach, f"http://127.0.0.1:{port}")

        def cut():
            waiting.wait(30)
            reach.cut("it took too long")

        cutter = threading.Thread(target=cut)
        cutter.start()
        begun = time.monotonic()
        with pytest.raises(PacificaFSError), client.stream("/") as stream:
            list(stream.chunks())
        assert time.monotonic() - begun < 30
        cutter.join()
        with pytest.raises(Unreachable, match="it took too long"):
            client.request("GET", "/")
        client.close()

"""Whose clock says what."""

import time
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from pacifica_fs import config
from pacifica_fs.service.skew import skews
from tests.servers.process import free_ports


@pytest.fixture
def server():
    """server(seconds, status) → the address of a server whose clock is so far before ours."""
    running = []

    def start(seconds, status=200):
        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self):
                asked.append(dict(self.headers))
                self.send_response_only(status)
                if seconds is not None:
                    self.send_header("Date", formatdate(time.time() + seconds, usegmt=True))
                self.send_header("Location", "http://127.0.0.1:1/")
                self.end_headers()

            def log_message(self, *_):
                pass

        made = HTTPServer(("127.0.0.1", 0), Handler)
        running.append((made, Thread(target=made.serve_forever, kwargs={"poll_interval": 0.05})))
        running[-1][1].start()
        return f"127.0.0.1:{made.server_port}"

    asked = start.asked = []
    yield start
    for made, thread in running:
        made.shutdown()
        thread.join()
        made.server_close()


def archives(**tables):
    return config.parse({"archives": tables}).archives


@pytest.mark.parametrize("status", [200, 302, 401, 500])
@pytest.mark.parametrize("seconds", [0, 1000, -1000])
def test_any_answer_has_a_time(server, seconds, status):
    host = server(seconds, status)
    auth = {"type": "basic", "username": "me", "password": "secret"}
    found = skews(archives(site={"kind": "pacifica", "policy": f"http://{host}/", "auth": auth}))
    assert found == {host: pytest.approx(seconds, abs=20)}
    assert "Authorization" not in server.asked[0]


def test_every_server_is_asked_once(server):
    one, two = server(0), server(500)
    found = skews(
        archives(
            site={"kind": "pacifica", "policy": f"http://{one}/", "metadata": f"http://{one}/m", "user": "me"},
            bucket={"kind": "djarchive", "endpoint": two, "secure": False, "bucket": "b"},
            here={"kind": "local", "path": "/nowhere"},
        )
    )
    assert sorted(found) == sorted([one, two]) and found[two] > 450
    assert len(server.asked) == 2


def test_who_does_not_tell_is_left_out(server):
    silent = server(None)
    (nobody,) = free_ports(1)
    tables = {"kind": "pacifica", "policy": f"http://{silent}/", "cart": f"http://127.0.0.1:{nobody}/"}
    assert skews(archives(site=tables)) == {}
    assert skews(archives(here={"kind": "local", "path": "/nowhere"})) == {}

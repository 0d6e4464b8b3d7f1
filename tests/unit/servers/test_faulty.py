"""The fault-injecting proxy does what its faults say, and otherwise nothing at all."""

import http.server
import threading
import time

import pytest
import requests

from tests.servers.faults import (
    Corrupt,
    CutAnswer,
    CutRequest,
    Delay,
    LoseAnswer,
    Replace,
    Reply,
    Rewrite,
    Stall,
    StallAnswer,
)
from tests.servers.faulty import FaultyProxy

CONTENT = bytes(range(256)) * 1000


class Service(http.server.BaseHTTPRequestHandler):
    """Answers GET /length and /chunked with CONTENT, and a POST with what was posted."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.seen.append((self.command, self.path, b""))
        self.send_response(200)
        if self.path.startswith("/chunked"):
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for start in range(0, len(CONTENT), 10_000):
                piece = CONTENT[start : start + 10_000]
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            self.wfile.write(b"0\r\n\r\n")
        else:
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(CONTENT)

    do_HEAD = do_GET  # noqa: N815

    def do_DELETE(self):
        self.send_response(204)
        self.end_headers()

    def do_POST(self):
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.seen.append((self.command, self.path, body))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def service():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Service)
    server.handle_error = lambda *_: None
    server.seen = []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def proxy(service):
    with FaultyProxy(f"http://127.0.0.1:{service.server_address[1]}") as proxy:
        yield proxy
    assert not [t for t in threading.enumerate() if t.name == "faulty-proxy"]


@pytest.fixture
def client():
    with requests.Session() as session:
        session.trust_env = False
        yield session


@pytest.mark.parametrize("path", ["/length", "/chunked"])
def test_without_a_fault_all_is_passed_on_over_one_connection(proxy, client, path):
    for _ in range(3):
        assert client.get(proxy.url + path, timeout=10).content == CONTENT
    assert client.head(proxy.url + "/length", timeout=10).headers["Content-Length"] == str(len(CONTENT))
    assert client.delete(proxy.url + "/", timeout=10).status_code == 204
    assert proxy.connections == 1


def test_request_content_is_passed_on_with_and_without_a_length(proxy, client):
    assert client.post(proxy.url, data=CONTENT, timeout=10).content == CONTENT
    pieces = (CONTENT[start : start + 7000] for start in range(0, len(CONTENT), 7000))
    answer = client.post(proxy.url, data=pieces, headers={"Expect": "100-continue"}, timeout=10)
    assert answer.content == CONTENT


def test_request_content_is_changed_on_the_way(service, proxy, client):
    proxy.on("POST", "", Rewrite(bytes.upper), times=2)
    assert client.post(proxy.url, data=b"some", timeout=10).content == b"SOME"
    assert client.post(proxy.url, data=iter([b"so", b"me"]), timeout=10).content == b"SOME"
    assert client.post(proxy.url, data=b"some", timeout=10).content == b"some"


def test_requests_are_counted_by_method_and_path(proxy, client):
    client.get(proxy.url + "/length?a=1", timeout=10)
    client.get(proxy.url + "/chunked", timeout=10)
    client.head(proxy.url + "/length", timeout=10)
    assert (proxy.count(), proxy.count("GET"), proxy.count("GET", r"a=1$"), proxy.count(path="^/length")) == (
        3,
        2,
        1,
        2,
    )
    proxy.forget()
    assert proxy.count() == 0
    with pytest.raises(TimeoutError, match="1 requests GET"):
        proxy.wait(1, "GET", timeout=0.05)


def test_reply_answers_instead_of_the_service(proxy, client, service):
    proxy.on("POST", "^/upload", Reply(413, b"too large", {"Content-Type": "text/plain"}))
    answer = client.post(proxy.url + "/upload", data=CONTENT, timeout=10)
    assert (answer.status_code, answer.text, answer.headers["Content-Type"]) == (413, "too large", "text/plain")
    assert service.seen == []


def test_replace_passes_on_and_answers_something_else(proxy, client, service):
    proxy.on("POST", "", Replace(502, b"<html>"), times=1)
    assert client.post(proxy.url, data=b"x", timeout=10).status_code == 502
    assert client.post(proxy.url, data=b"y", timeout=10).status_code == 200
    assert [body for _, _, body in service.seen] == [b"x", b"y"]


def test_times_and_skip_and_the_newest_rule_first(proxy, client):
    proxy.on(None, "/length", Reply(500))
    proxy.on("GET", "/length", Reply(202), times=2, skip=1)
    codes = [client.get(proxy.url + "/length", timeout=10).status_code for _ in range(4)]
    assert codes == [500, 202, 202, 500]
    proxy.clear()
    assert client.get(proxy.url + "/length", timeout=10).status_code == 200


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("path", ["/length", "/chunked"])
def test_a_cut_answer_has_so_many_bytes_and_is_an_error(proxy, client, path, reset):
    proxy.on("GET", "", CutAnswer(after=100_001, reset=reset))
    got = b""
    with client.get(proxy.url + path, stream=True, timeout=10) as answer, pytest.raises(requests.RequestException):
        for piece in answer.iter_content(1):
            got += piece
    assert CONTENT.startswith(got)
    assert len(got) == 100_001 or reset  # a reset may overtake bytes


def test_a_cut_request_reaches_the_service_in_part(proxy, client, service):
    proxy.on("POST", "", CutRequest(after=1000))
    with pytest.raises(requests.ConnectionError):
        client.post(proxy.url, data=CONTENT, timeout=10)
    proxy.wait(1, "POST")
    assert all(body == CONTENT[:1000] for _, _, body in service.seen)


def test_a_lost_answer_was_a_whole_request(proxy, client, service):
    proxy.on("POST", "", LoseAnswer(), times=1)
    with pytest.raises(requests.ConnectionError):
        client.post(proxy.url, data=CONTENT, timeout=10)
    assert service.seen == [("POST", "/", CONTENT)]


@pytest.mark.parametrize("path", ["/length", "/chunked"])
def test_one_byte_is_corrupted(proxy, client, path):
    proxy.on("GET", "", Corrupt(offset=150_000, mask=1))
    content = client.get(proxy.url + path, timeout=10).content
    assert [i for i, (a, b) in enumerate(zip(content, CONTENT, strict=True)) if a != b] == [150_000]


def test_a_stalled_request_goes_on_when_it_is_let_go(proxy, client, service):
    rule = proxy.on("GET", "", Stall())
    with pytest.raises(requests.ReadTimeout):
        client.get(proxy.url + "/length", timeout=0.2)
    assert service.seen == []
    timer = threading.Timer(0.2, rule.release)
    timer.start()
    assert client.get(proxy.url + "/length", timeout=10).content == CONTENT
    timer.join()


def test_a_stalled_answer_stops_at_its_byte_and_goes_on(proxy, client):
    proxy.on("GET", "", StallAnswer(after=70_000))
    with client.get(proxy.url + "/chunked", stream=True, timeout=(5, 0.3)) as answer:
        got = answer.raw.read(70_000)
        with pytest.raises(Exception, match=r"[Rr]ead timed out"):
            answer.raw.read(1)
    assert got == CONTENT[:70_000]
    with client.get(proxy.url + "/length", stream=True, timeout=10) as answer:
        got = answer.raw.read(70_000)
        proxy.clear()
        assert got + answer.raw.read() == CONTENT


def test_a_delay_delays(proxy, client):
    proxy.on("GET", "", Delay(0.2))
    begun = time.monotonic()
    assert client.get(proxy.url + "/length", timeout=10).content == CONTENT
    assert time.monotonic() - begun >= 0.2


def test_refused_connections_and_back_at_the_same_address(proxy, client):
    url = proxy.url
    client.get(url + "/length", timeout=10)
    proxy.refuse()
    with pytest.raises(requests.ConnectionError, match="refused"):
        requests.get(url, timeout=10, proxies={"http": ""})
    proxy.accept()
    assert proxy.url == url
    assert client.get(url + "/length", timeout=10).content == CONTENT


def test_a_dead_service_is_a_bad_gateway(client):
    with FaultyProxy("http://127.0.0.1:9") as proxy:
        assert client.get(proxy.url, timeout=10).status_code == 502


def test_close_ends_what_stalls(service, client):
    proxy = FaultyProxy(f"http://127.0.0.1:{service.server_address[1]}")
    proxy.on("GET", "", Stall())
    failed = []

    def get():
        try:
            requests.get(proxy.url + "/length", timeout=30)
        except requests.RequestException as error:
            failed.append(error)

    thread = threading.Thread(target=get)
    thread.start()
    proxy.wait(1, "GET")
    proxy.close()
    thread.join(timeout=10)
    assert not thread.is_alive()

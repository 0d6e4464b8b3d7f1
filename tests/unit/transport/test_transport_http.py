import socket
import threading

import pytest
import requests

from pacifica_fs.config import Auth
from pacifica_fs.errors import BadAnswer, ConfigError, Denied, NotFound, Unreachable
from pacifica_fs.transport.credentials import Secrets, login
from pacifica_fs.transport.failures import shown
from pacifica_fs.transport.http import Http, Timeouts
from pacifica_fs.transport.retry import Retry

BASE = "http://site.example/api"
PAGE = "<!DOCTYPE html><html><head><style>b{}</style></head><body><h1>502 Bad &amp; Gateway</h1></body></html>"


@pytest.fixture
def http(clock):
    return Http(BASE, clock=clock)


def test_an_answer_and_its_json(http, requests_mock):
    requests_mock.get(BASE + "/a", json={"b": [1]})
    assert http.json("GET", "/a") == {"b": [1]}
    assert requests_mock.last_request.headers["User-Agent"] == "pacifica-fs"
    assert requests_mock.last_request.timeout == (10.0, 60.0)


@pytest.mark.parametrize("status", [502, 503, 504])
def test_an_outage_is_tried_again_and_then_unreachable(http, requests_mock, clock, status):
    requests_mock.get(BASE + "/a", status_code=status, text="x")
    with pytest.raises(Unreachable, match=f"status {status}"):
        http.request("GET", "/a")
    assert requests_mock.call_count == 3
    assert len(clock.slept) == 2 and 0.1 <= clock.slept[0] <= 0.3 and 0.2 <= clock.slept[1] <= 0.6


def test_a_second_try_may_succeed(http, requests_mock):
    requests_mock.get(BASE + "/a", [{"exc": requests.exceptions.ConnectionError("reset")}, {"json": 1}])
    assert http.json("GET", "/a") == 1


@pytest.mark.parametrize("repeat,calls", [(None, 1), (True, 3)])
def test_a_post_is_repeated_only_where_that_is_harmless(http, requests_mock, repeat, calls):
    requests_mock.post(BASE + "/a", status_code=503)
    with pytest.raises(Unreachable):
        http.request("POST", "/a", json={}, repeat=repeat)
    assert requests_mock.call_count == calls


def test_retry_after_is_waited_for(http, requests_mock, clock):
    requests_mock.get(BASE + "/a", [{"status_code": 503, "headers": {"Retry-After": "4"}}, {"json": 1}])
    assert http.json("GET", "/a") == 1
    assert clock.slept == [4.0]


def test_a_long_retry_after_is_not(http, requests_mock, clock):
    requests_mock.get(BASE + "/a", status_code=429, headers={"Retry-After": "3600"})
    with pytest.raises(Unreachable):
        http.request("GET", "/a")
    assert clock.slept == []


def test_a_proxys_page_is_an_outage_not_data_and_not_absence(http, requests_mock):
    requests_mock.get(BASE + "/ok", text=PAGE, headers={"Content-Type": "text/html"})
    requests_mock.get(BASE + "/bad", text=PAGE, status_code=502)
    requests_mock.get(BASE + "/gone", text=PAGE, status_code=404)
    with pytest.raises(Unreachable, match="web page instead of data: 502 Bad & Gateway"):
        http.json("GET", "/ok")
    with pytest.raises(Unreachable):
        http.json("GET", "/bad")
    with pytest.raises(BadAnswer):
        http.request("GET", "/gone", absent=True)


@pytest.mark.parametrize(
    "status,error", [(401, Denied), (403, Denied), (400, BadAnswer), (500, BadAnswer), (404, BadAnswer)]
)
def test_other_statuses(http, requests_mock, status, error):
    requests_mock.get(BASE + "/a", status_code=status, json={"message": "no"})
    with pytest.raises(error, match=f"status {status}") as caught:
        http.request("GET", "/a")
    assert not isinstance(caught.value, NotFound)


def test_404_is_absence_where_the_contract_says_so(http, requests_mock):
    requests_mock.get(BASE + "/a", status_code=404, json={"message": "no"})
    with pytest.raises(NotFound):
        http.request("GET", "/a", absent=True)


def test_a_post_is_not_redirected(http, requests_mock):
    requests_mock.post(BASE + "/a", status_code=301, headers={"Location": "https://u:p@other.example/b"})
    with pytest.raises(BadAnswer, match=r"redirects to https://other\.example/b"):
        http.request("POST", "/a")


def test_no_json(http, requests_mock):
    requests_mock.get(BASE + "/a", text="x" * 1000)
    with pytest.raises(BadAnswer) as caught:
        http.json("GET", "/a")
    assert 200 <= str(caught.value).count("x") < 210


def test_secrets_are_not_shown():
    url = shown("https://me:pw@h.example/a?token=T0P&x=1&api_key=KEY")
    assert url == "https://h.example/a?token=***&x=1&api_key=***"


def test_a_body_beyond_the_limit(clock, requests_mock):
    requests_mock.get(BASE + "/a", content=b"x" * 100)
    with pytest.raises(BadAnswer, match="longer than 99"):
        Http(BASE, clock=clock, limit=99).request("GET", "/a")


def test_nobody_listens(clock):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    with pytest.raises(Unreachable, match="refused"):
        Http(f"http://127.0.0.1:{port}", clock=clock).request("GET", "/")


def test_no_answer_in_time(clock, serve):
    done = threading.Event()
    with serve(lambda request: done.wait(5)) as url:
        http = Http(url, clock=clock, timeouts=Timeouts(1, 0.1), retry=Retry(tries=1))
        with pytest.raises(Unreachable, match="no answer in time"):
            http.request("GET", "/")
        done.set()


def test_a_stream_that_breaks_off(clock, serve):
    def half(request):
        request.send_response(200)
        request.send_header("Content-Length", "1000")
        request.end_headers()
        request.wfile.write(b"x" * 400)
        request.close_connection = True

    with serve(half) as url, Http(url, clock=clock).stream("/") as stream, pytest.raises(Unreachable):
        list(stream.chunks())


def test_a_chunked_stream_that_breaks_off(clock, serve):
    def half(request):
        request.send_response(200)
        request.send_header("Transfer-Encoding", "chunked")
        request.end_headers()
        request.wfile.write(b"5\r\nabcde\r\n100\r\nxyz")
        request.close_connection = True

    with serve(half) as url, Http(url, clock=clock).stream("/") as stream, pytest.raises(Unreachable):
        list(stream.chunks())


def test_a_stream_that_stalls(clock, serve):
    done = threading.Event()

    def stall(request):
        request.send_response(200)
        request.send_header("Content-Length", "1000000")
        request.end_headers()
        request.wfile.write(b"x" * 70_000)
        done.wait(5)

    with serve(stall) as url, Http(url, clock=clock, timeouts=Timeouts(1, 0.1)).stream("/") as stream:
        with pytest.raises(Unreachable):
            list(stream.chunks())
        done.set()


class Body:
    def __init__(self, pieces):
        self.pieces = pieces

    def __len__(self):
        return sum(map(len, self.pieces))

    def __iter__(self):
        return iter(self.pieces)


def test_an_upload_has_its_length_and_a_connection_of_its_own(clock, serve):
    seen = []

    def take(request):
        seen.append((request.headers["Content-Length"], request.headers["Transfer-Encoding"], request.client_address))
        request.rfile.read(int(request.headers["Content-Length"] or 0))
        request.send_response(200)
        request.send_header("Content-Length", "2")
        request.end_headers()
        request.wfile.write(b"{}")

    with serve(take) as url:
        http = Http(url, clock=clock)
        http.request("GET", "/")
        assert http.upload("/", Body([b"abc", b"d" * 100])).json() == {}
    assert seen[1][:2] == ("103", None)
    assert seen[0][2] != seen[1][2]


def test_a_refusal_during_an_upload_is_read(clock, serve):
    def refuse(request):
        request.send_response(413)
        request.send_header("Content-Length", "0")
        request.end_headers()
        request.close_connection = True

    with serve(refuse) as url:
        answer = Http(url, clock=clock).upload("/", Body([b"x" * 2**20] * 40), expect=(413,))
    assert answer.status == 413


def test_an_upload_is_never_repeated(http, requests_mock):
    requests_mock.post(BASE + "/a", status_code=503)
    with pytest.raises(Unreachable):
        http.upload("/a", Body([b"x"]))
    assert requests_mock.call_count == 1


def test_a_changed_password_is_found_after_401(clock, requests_mock, tmp_path):
    file = tmp_path / "emsl.password"
    file.write_text("old\n")
    secrets = Secrets("emsl", {"CREDENTIALS_DIRECTORY": str(tmp_path)}, keyring=lambda *_: None)
    http = Http(BASE, clock=clock, login=login("emsl", Auth(type="basic", username="me"), BASE, secrets))

    def answer(request, context):
        good = request.headers["Authorization"] == "Basic bWU6bmV3"  # me:new
        context.status_code = 200 if good else 401
        return {}

    requests_mock.get(BASE + "/a", json=answer)
    with pytest.raises(Denied) as caught:
        http.request("GET", "/a")
    assert requests_mock.call_count == 1 and "old" not in str(caught.value)
    file.write_text("new\n")
    http.request("GET", "/a")
    assert requests_mock.call_count == 3


def test_the_environments_proxies_are_for_others_than_loopback(clock):
    assert Http("http://127.0.0.1:1", clock=clock)._session.trust_env is False
    assert Http("http://localhost:1", clock=clock)._session.trust_env is False
    assert Http("https://site.example", clock=clock)._session.trust_env is True


def test_a_missing_ca_bundle_is_a_matter_of_configuration(clock):
    http = Http("https://127.0.0.1:1", clock=clock, verify="/nowhere/ca.pem")
    with pytest.raises(ConfigError, match="CA bundle"):
        http.request("GET", "/")

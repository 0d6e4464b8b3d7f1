import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests

from pacifica_fs.errors import BadAnswer, Denied, Invalid, NotFound, Unreachable
from pacifica_fs.model import Ticket

POLICY, INGEST, METADATA = "http://policy.example", "http://ingest.example", "http://metadata.example"
STATE = {"job_id": 5, "state": "OK", "task": "UPLOADING", "task_percent": "0.00000", "complete": False, "exception": ""}


@pytest.fixture
def inbox(site, requests_mock):
    requests_mock.post(POLICY + "/ingest", json={"status": "success"})
    requests_mock.post(POLICY + "/uploader", json=[{"_id": 102}])
    requests_mock.get(INGEST + "/get_state?job_id=-1", json={"job_id": None, "state": "DATA_ACCESS_ERROR"})
    return site(policy=POLICY, ingest=INGEST).inbox


def refusal(message):
    return {
        "status_code": 412,
        "json": {"message": "Precondition Failed: " + message, "status": "412 Precondition Failed"},
    }


def test_a_good_bundle(inbox, bundle, requests_mock):
    assert inbox.check(bundle({"a": b"1"})) == []
    assert [entry["value"] for entry in requests_mock.last_request.json()] == [102, "51001", 2001]


def test_a_yes_of_policy_holds_for_a_moment_and_a_no_does_not(inbox, site, bundle, requests_mock, monkeypatch):
    def asked():
        return sum(request.url == POLICY + "/ingest" for request in requests_mock.request_history)

    requests_mock.post(POLICY + "/ingest", [refusal("Invalid values for project"), {"json": {"status": "success"}}])
    assert len(inbox.check(bundle({"a": b"1"}))) == 1
    for _ in range(3):
        assert inbox.check(bundle({"a": b"1"})) == []
    assert asked() == 2
    assert inbox.check(bundle({"a": b"1"}, project="other")) == [] and asked() == 3
    monkeypatch.setattr("pacifica_fs.archives.pacifica.inbox.ALLOWED_SECONDS", 0)
    later = site(policy=POLICY, ingest=INGEST).inbox
    assert later.check(bundle({"a": b"1"})) == later.check(bundle({"a": b"1"})) == [] and asked() == 5


def test_policy_is_not_asked_about_what_is_wrong_already(inbox, bundle, requests_mock):
    assert len(inbox.check(bundle(project=None))) == 1
    assert requests_mock.call_count == 0


def test_wrong_files_and_a_refusal_are_both_told(inbox, bundle, requests_mock):
    requests_mock.post(POLICY + "/ingest", **refusal("Invalid values for project"))
    found = inbox.check(bundle({"n" * 200: b"1", "x": b"", "x/y": b""}))
    assert [problem.what for problem in found] == [
        "a file and a folder have the same name",
        "project 51001 is not known to the site",
    ]


@pytest.mark.parametrize(
    "message,words",
    [
        ("Invalid values for project", ["project 51001 is not known to the site"]),
        (
            "Invalid values for submitter, project, instrument",
            ["user 102 is not known", "project 51001 is not known", "instrument 2001 is not known"],
        ),
        (
            "Invalid values for project (51001) not in user instrument list ([])",
            ["user 102 may not upload to project 51001 with instrument 2001"],
        ),
        (
            "Invalid values for project (51001) not in user instrument list ([&#x27;1236é&#x27;])",
            ["user 102 may not upload to project 51001 with instrument 2001"],
        ),
        ("Something &lt;new&gt;", ["policy refuses the upload: Precondition Failed: Something <new>"]),
    ],
)
def test_what_policy_says(inbox, bundle, requests_mock, message, words):
    requests_mock.post(POLICY + "/ingest", **refusal(message))
    found = inbox.check(bundle())
    assert len(found) == len(words)
    for problem, expected in zip(found, words, strict=True):
        assert expected in problem.what and problem.remedy


def test_what_a_folders_name_says_is_known_or_not(inbox, requests_mock):
    assert inbox.unknown({"project": "51001"}) == []
    assert [entry["value"] for entry in requests_mock.last_request.json()] == [102, "51001", -1]
    requests_mock.post(POLICY + "/ingest", **refusal("Invalid values for instrument"))
    assert inbox.unknown({"project": "51001"}) == []
    requests_mock.post(POLICY + "/ingest", **refusal("Invalid values for project, instrument"))
    (problem,) = inbox.unknown({"project": "99"})
    assert problem.what == "project 99 is not known to the site"
    assert "number" in inbox.unknown({"instrument": "laser"})[0].what


def test_a_login_name_is_resolved_once(inbox, bundle, requests_mock):
    assert inbox.check(bundle(submitter=None)) == inbox.check(bundle(submitter="bkim")) == []
    asked = [request.json() for request in requests_mock.request_history if request.path == "/uploader"]
    assert asked == [{"user": -1, "from": "users", "columns": ["_id"], "where": {"network_id": "bkim"}}]


@pytest.mark.parametrize("submitter,words", [("nobody", "the submitter 'nobody'"), (None, "your login name 'bkim'")])
def test_an_unknown_login_name(inbox, bundle, requests_mock, submitter, words):
    requests_mock.post(POLICY + "/uploader", json=[])
    (problem,) = inbox.check(bundle(submitter=submitter))
    assert words in problem.what and "is not known to the site" in problem.what


def test_an_outage_is_not_a_problem_of_the_bundle(inbox, bundle, requests_mock):
    trace = "requests.exceptions.ConnectionError: Max retries exceeded: Connection refused"
    requests_mock.post(POLICY + "/ingest", status_code=500, json={"message": "unexpected", "traceback": trace})
    with pytest.raises(Unreachable):
        inbox.check(bundle())


def test_the_sites_limit(site, bundle, requests_mock):
    requests_mock.post(POLICY + "/ingest", json={"status": "success"})
    small = site(policy=POLICY, ingest=INGEST, max_bundle="10 kB").inbox
    assert small.check(bundle({"a": b"x" * 5000})) == []
    (problem,) = small.check(bundle({"a": b"x" * 10_000}))
    assert "10000" in problem.what and "divide" in problem.remedy


class Server:
    """An ingest that really reads the body, or does something else with the connection."""

    def __init__(self):
        self.body, self.headers, self.act = b"", {}, None
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 10

            def do_POST(self):
                outer.headers = dict(self.headers)
                if outer.act is not None:
                    return outer.act(self)
                outer.body = self.rfile.read(int(self.headers["Content-Length"]))
                self.reply(200, STATE)

            def do_GET(self):
                self.reply(200, {"job_id": None, "state": "DATA_ACCESS_ERROR"})

            def reply(self, status, value):
                text = json.dumps(value).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *args):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.thread.start()


@pytest.fixture
def server():
    made = Server()
    yield made
    made.http.shutdown()
    made.http.server_close()
    made.thread.join(5)


class Calls:
    def __init__(self):
        self.sent = []
        self.last = 0

    def done(self):
        self.last += 1


def test_sending(site, server, bundle):
    inbox, calls = site(policy=POLICY, ingest=server.url).inbox, Calls()
    made = bundle({"a": b"x" * 3_000_000})
    ticket = inbox.send(made, calls.sent.append, calls.done)
    assert (ticket.job, calls.last) == ("5", 1)
    assert len(server.body) == inbox.length(made) == calls.sent[-1] == int(server.headers["Content-Length"])
    assert server.headers["Content-Type"] == "application/octet-stream" and "Transfer-Encoding" not in server.headers


def test_an_error_of_last_stops_it_and_nothing_of_the_end_was_sent(site, server, bundle):
    received = []

    def act(request):
        while piece := request.rfile.read1(65536):
            received.append(piece)
        request.close_connection = True

    def refuse():
        raise OSError(28, "No space left on device")

    server.act = act
    with pytest.raises(OSError, match="No space"):
        site(policy=POLICY, ingest=server.url).inbox.send(bundle({"a": b"x" * 3_000_000}), lambda _: None, refuse)
    server.http.shutdown()
    assert b"metadata.txt" not in b"".join(received)


def test_the_limit_of_the_server(site, server, bundle):
    def act(request):
        request.reply(413, {})
        request.close_connection = True

    server.act = act
    with pytest.raises(Invalid, match=r"refuses an upload of \d+ bytes"):
        site(policy=POLICY, ingest=server.url).inbox.send(
            bundle({"a": b"x" * 30_000_000}), lambda _: None, lambda: None
        )


def test_a_connection_cut_before_the_end(site, server, bundle):
    def act(request):
        request.rfile.read(100_000)
        request.close_connection = True

    server.act, calls = act, Calls()
    with pytest.raises(Unreachable):
        site(policy=POLICY, ingest=server.url).inbox.send(
            bundle({"a": b"x" * 90_000_000}), calls.sent.append, calls.done
        )
    assert calls.last == 0


def test_a_connection_cut_after_the_end(site, server, bundle):
    def act(request):
        request.rfile.read(int(request.headers["Content-Length"]))
        request.close_connection = True

    server.act, calls = act, Calls()
    with pytest.raises(Unreachable):
        site(policy=POLICY, ingest=server.url).inbox.send(bundle({"a": b"x"}), calls.sent.append, calls.done)
    assert calls.last == 1


@pytest.mark.parametrize(
    "status,error", [(401, Denied), (403, Denied), (404, Invalid), (405, Invalid), (500, BadAnswer), (502, Unreachable)]
)
def test_refused_uploads(inbox, bundle, requests_mock, status, error):
    requests_mock.post(INGEST + "/upload", status_code=status, json={"message": "x"})
    with pytest.raises(error):
        inbox.send(bundle({"a": b"x"}), lambda _: None, lambda: None)


def test_who_may_not_upload_is_told_before_the_first_byte(inbox, bundle, requests_mock):
    requests_mock.get(INGEST + "/get_state?job_id=-1", status_code=401)
    upload, calls = requests_mock.post(INGEST + "/upload", json=STATE), Calls()
    with pytest.raises(Denied):
        inbox.send(bundle({"a": b"x"}), calls.sent.append, calls.done)
    assert not upload.called and not calls.sent and not calls.last


@pytest.mark.parametrize("answer", [{}, [], {"job_id": None}, {"job_id": -1}, {"job_id": "5"}])
def test_an_answer_without_a_job(inbox, bundle, requests_mock, answer):
    requests_mock.post(INGEST + "/upload", json=answer)
    with pytest.raises((BadAnswer, Unreachable)):
        inbox.send(bundle({"a": b"x"}), lambda _: None, lambda: None)


def test_polling(inbox, requests_mock):
    requests_mock.get(INGEST + "/get_state?job_id=5", json={**STATE, "task": "ingest files"})
    assert inbox.poll(Ticket("5")).task == "ingest files"
    requests_mock.get(INGEST + "/get_state?job_id=5", status_code=404, json={"message": "job ID 5 does not exist."})
    with pytest.raises(NotFound):
        inbox.poll(Ticket("5"))
    requests_mock.get(INGEST + "/get_state?job_id=5", exc=requests.exceptions.ConnectionError("refused"))
    with pytest.raises(Unreachable):
        inbox.poll(Ticket("5"))


def found(id, files=1, **keys):
    return {"file_size_bytes": 1, "file_count": files, "metadata": {"transaction_id": id}, "kv_pairs": keys}


def search(requests_mock, *entries):
    answer = {"transactions": {str(entry["metadata"]["transaction_id"]): entry for entry in entries}, "total_count": 9}
    requests_mock.get(POLICY + "/status/transactions/search/list", json=answer)


def rows(requests_mock, id, content=b"1", name="a", subdir=""):
    import hashlib

    row = {"_id": 9, "name": name, "subdir": subdir, "size": len(content), "hashtype": "sha1"}
    row["hashsum"] = hashlib.sha1(content).hexdigest()
    requests_mock.get(f"{POLICY}/status/transactions/files/{id}", json={"9": row})


def test_finding_by_the_bundles_id(inbox, bundle, requests_mock):
    search(requests_mock, found(7, **{"pacifica-fs.bundle": "b-1"}), found(8, **{"pacifica-fs.bundle": "other"}))
    made = bundle({"a": b"1"}, created_ns=1_577_934_245_000_000_000)
    assert inbox.find(made) == ("7",)
    query = requests_mock.last_request.qs
    assert query["submitter"] == ["102"] and query["start"] == ["2020-01-02t02:04:05"] and query["page"] == ["1"]


def test_finding_by_content_where_a_site_strips_keys(inbox, bundle, requests_mock):
    stranger = found(9, **{"pacifica-fs.bundle": "other"})
    search(requests_mock, found(6), found(7), found(8, files=2), stranger)
    rows(requests_mock, 6, b"2")
    rows(requests_mock, 7)
    rows(requests_mock, 9)
    assert inbox.find(bundle({"a": b"1"})) == ("7",)
    assert inbox.find(bundle({"b": b"1"})) == ()
    assert inbox.find(bundle()) == ()


def test_finding_two_is_told(inbox, bundle, requests_mock):
    mark = {"pacifica-fs.bundle": "b-1"}
    search(requests_mock, found(7, **mark), found(8, **mark))
    assert inbox.find(bundle({"a": b"1"})) == ("7", "8")


def test_finding_through_the_metadata_service(site, bundle, requests_mock):
    inbox = site(policy=POLICY, ingest=INGEST, metadata=METADATA).inbox
    requests_mock.get(METADATA + "/keys", json=[{"_id": 3}])
    requests_mock.get(METADATA + "/values", json=[{"_id": 4}])
    requests_mock.get(METADATA + "/trans_key_value?key=3&value=4&recursion_depth=0", json=[{"transaction": 7}])
    assert inbox.find(bundle({"a": b"1"})) == ("7",)


def test_an_outage_is_not_an_empty_answer(inbox, bundle, requests_mock):
    down = {"status": "500 Internal Server Error", "message": "x", "traceback": "peewee.OperationalError: down"}
    requests_mock.get(POLICY + "/status/transactions/search/list", json=down)
    with pytest.raises(Unreachable):
        inbox.find(bundle({"a": b"1"}))


def test_an_inbox_needs_ingest(site):
    assert site(policy=POLICY).inbox is None

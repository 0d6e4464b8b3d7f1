"""A real CKAN site whose `ckan.datapusher.url` is `pacifica-fs datapusher`: submit, status, hook, and failures."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest
import requests

from tests.servers.process import Process, listening
from tests.servers.workbooks import xlsx

from .test_ckan_kind import table_of
from .tools import until

pytestmark = [pytest.mark.ckan, pytest.mark.timeout(180)]
PLAIN = b"code,n\n" + b"".join(b"00%d,%d\n" % (i, i) for i in range(1, 601))
LARGE = b"n,t\n" + b"".join(b"%d,text %d\n" % (i, i) for i in range(15_000))


class Service:
    """Ours, at the address which the site's plugin knows; restarted at will."""

    def __init__(self, site, guard, folder):
        site.stop("datapusher")
        self.site, self.folder = site, folder
        self.url = site.address("datapusher")
        port = urlsplit(self.url).port
        (folder / "pusher.toml").write_text(
            f'[datapusher]\nlisten = "127.0.0.1:{port}"\nallow_hosts = ["127.0.0.1"]\n'
            'download_timeout = "5s"\nmax_download = "2 MiB"\nsecret = "for-tests-only"\n'
        )
        (folder / "pusher.toml").chmod(0o600)
        env = {"PATH": os.environ["PATH"], "HOME": str(folder), "XDG_STATE_HOME": str(folder / "state")}
        command = [sys.executable, "-m", "pacifica_fs", "datapusher", "-c", str(folder / "pusher.toml")]
        self.process = Process("pusher", command, guard=guard, log=folder / "log", env=env, cwd=folder)
        self.port = port
        self.start()

    def start(self):
        self.process.start()
        self.process.wait(lambda: listening(self.port), time.monotonic() + 60)

    def kill(self):
        os.kill(self.process.pid, signal.SIGKILL)
        until("the service gone", lambda: not self.process.alive())

    def submit(self, resource, **changes):
        metadata = {"ckan_url": self.site.url, "resource_id": resource, **changes.pop("metadata", {})}
        body = {"api_key": self.site.token(), "job_type": "push_to_datastore", "metadata": metadata, **changes}
        answer = requests.post(f"{self.url}/job", json=body, timeout=60)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def look(self, job):
        headers = {"Authorization": job["job_key"]}
        return requests.get(f"{self.url}/job/{job['job_id']}", headers=headers, timeout=60).json()

    def done(self, job, timeout=90):
        return until("the job over", lambda: (found := self.look(job))["status"] != "pending" and found, timeout)

    def secrets_are_gone(self, *more):
        left = (self.folder / "state/pacifica-fs/datapusher/jobs.db").read_bytes() + (self.folder / "log").read_bytes()
        for secret in (self.site.token(), self.site.token("datapusher"), *more):
            assert secret.encode() not in left


@pytest.fixture(scope="module")
def service(ckan_site, guard, tmp_path_factory):
    made = Service(ckan_site, guard, tmp_path_factory.mktemp("pusher"))
    yield made
    made.process.stop()


@pytest.fixture(scope="module")
def plugin(ckan_site, service):
    """The site with the plugin that submits to the service, as an editor."""
    ckan_site.start("plugin")
    return ckan_site.api(url=ckan_site.address("plugin"))


@pytest.fixture
def sink():
    """A server that takes callbacks (`told`), and whose `/hang` never ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            made.told.append((dict(self.headers), self.rfile.read(int(self.headers["Content-Length"]))))
            made.calls += 1
            self.send_response(503 if made.calls <= made.failures else 200)
            self.end_headers()

        def do_GET(self):
            if self.path.startswith("/hang"):
                self.send_response(200)
                self.send_header("Content-Length", "100")
                self.end_headers()
                over.wait(60)
            else:
                self.send_error(404)

        def log_message(self, *args):
            pass

    over = threading.Event()
    made = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.daemon_threads = True
    made.told, made.calls, made.failures = [], 0, 0
    made.url = f"http://127.0.0.1:{made.server_address[1]}"
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    yield made
    over.set()
    made.shutdown()
    thread.join()
    made.server_close()


def upload(api, package, content, name="data.csv", format="CSV"):
    return api("resource_create", files={"upload": (name, content)}, package_id=package, name=name, format=format)


def link(api, package, url, format="CSV"):
    return api("resource_create", package_id=package, name="linked.csv", url=url, format=format)


def ended(api, resource, state="complete"):
    def over():
        found = api("datapusher_status", resource_id=resource)
        return found["status"] not in ("pending", "submitting") and found

    found = until("the site told", over, timeout=90)
    assert found["status"] == state, found
    return found


def test_an_upload_is_in_the_datastore_and_the_site_knows(plugin, service, ckan_site):
    package = ckan_site.package()
    resource = upload(plugin, package, PLAIN)
    found = ended(plugin, resource["id"])
    types, rows = table_of(ckan_site, package)
    assert types == {"code": "text", "n": "numeric"} and len(rows) == 600 and rows[0] == ["001", 1]
    lines = [line["message"] for line in found["task_info"]["logs"]]
    assert (
        lines[0].startswith("Fetching from: ")
        and lines[-1] == f'Successfully pushed 600 entries to "{resource["id"]}".'
    )
    assert any(line.startswith("Determined headers and types: ") for line in lines) and "Saving chunk 1 (last)" in lines
    until("the keys wiped", lambda: ckan_site.token("datapusher") not in _database(service))
    service.secrets_are_gone(found["job_key"])


def _database(service):
    return (service.folder / "state/pacifica-fs/datapusher/jobs.db").read_bytes().decode("latin-1")


def test_submit_status_and_a_hook_that_begins_it_again(plugin, service, ckan_site):
    package = ckan_site.package()
    resource = upload(plugin, package, PLAIN)["id"]
    first = ended(plugin, resource)
    assert plugin("datapusher_submit", resource_id=resource, ignore_hash=True) is True
    second = ended(plugin, resource)
    assert second["job_id"] != first["job_id"] and second["task_info"]["status"] == "complete"
    plugin("datapusher_hook", metadata={"resource_id": resource}, status="error")
    assert plugin("datapusher_status", resource_id=resource)["status"] == "error"
    assert len(table_of(ckan_site, package)[1]) == 600


def test_a_workbook_the_first_sheet(plugin, service, ckan_site, tmp_path):
    package = ckan_site.package()
    sheets = {"First": [["a", "b"], [1, "x"], [2, "y"]], "Second": [["c"], [3]]}
    data = xlsx(tmp_path / "w.xlsx", sheets).read_bytes()
    resource = upload(plugin, package, data, "w.xlsx", "XLSX")
    ended(plugin, resource["id"])
    assert table_of(ckan_site, package, "w.xlsx")[1] == [[1, "x"], [2, "y"]]


def test_failures_reach_the_site(plugin, service, ckan_site, sink):
    package = ckan_site.package()
    for url, said in ((f"{sink.url}/none.csv", "404"), ("http://localhost:9/x.csv", "refused")):
        resource = link(plugin, package, url)["id"]
        assert said in ended(plugin, resource, "error")["task_info"]["error"]["message"]
    picture = upload(plugin, package, b"\x89PNG\r\n\x1a\n\0\0\0\0", "p.csv")["id"]
    assert "task_info" in ended(plugin, picture, "error")
    assert (
        "too large"
        in ended(plugin, link(plugin, package, _large(sink))["id"], "error")["task_info"]["error"]["message"]
    )


def _large(sink):
    """What answers a length over the limit."""
    sink.RequestHandlerClass.do_GET = _three_mib
    return f"{sink.url}/large.csv"


def _three_mib(handler):
    handler.send_response(200)
    handler.send_header("Content-Length", str(3 << 20))
    handler.end_headers()


def test_a_download_that_hangs_ends(service, ckan_site, sink):
    resource = link(ckan_site.api(), ckan_site.package(), f"{sink.url}/hang.csv")["id"]
    shown = service.done(service.submit(resource), timeout=60)
    assert shown["status"] == "error" and shown["error"]["message"] == "the download took longer than 5 s"


def test_a_private_address_is_no_way_in(service, ckan_site):
    """`allow_hosts` has 127.0.0.1 and nothing else: neither localhost nor another of its addresses."""
    with socket.create_server(("127.0.0.2", 0)) as inside:
        inside.settimeout(0.5)
        port = inside.getsockname()[1]
        for url in (f"http://127.0.0.2:{port}/x.csv", "http://169.254.169.254/latest/meta-data"):
            resource = link(ckan_site.api(), ckan_site.package(), url)["id"]
            shown = service.done(service.submit(resource))
            assert shown["status"] == "error" and "not" in shown["error"]["message"]
        shown = service.done(service.submit("r", metadata={"ckan_url": f"http://127.0.0.2:{port}"}))
        assert "may not be reached" in shown["error"]["message"]
        with pytest.raises(TimeoutError):
            inside.accept()


def test_the_former_table_stays_where_the_new_file_is_no_table(service, ckan_site, tmp_path):
    package = ckan_site.package()
    api = ckan_site.api()
    resource = upload(api, package, PLAIN)["id"]
    assert service.done(service.submit(resource))["status"] == "complete"
    api("resource_patch", id=resource, url="http://127.0.0.1:9/x.csv", url_type="")
    shown = service.done(service.submit(resource))
    assert shown["status"] == "error" and "Refused" not in shown["error"]["message"]
    assert api("datastore_search", resource_id=resource, limit=0)["total"] == 600


def test_the_same_content_is_not_loaded_again_unless_wanted(service, ckan_site):
    package, digest = ckan_site.package(), hashlib.md5(PLAIN, usedforsecurity=False).hexdigest()
    resource = upload(ckan_site.api(), package, PLAIN)["id"]
    ckan_site.api()("resource_patch", id=resource, hash=digest)
    first = service.done(service.submit(resource))
    assert "Successfully pushed" in first["logs"][-1]["message"], "there was no table yet"
    again = service.done(service.submit(resource))
    assert again["logs"][-1]["message"] == f"The file hash hasn't changed: {digest}."
    forced = service.done(service.submit(resource, metadata={"ignore_hash": True, "set_url_type": True}))
    assert "Successfully pushed" in forced["logs"][-1]["message"]
    assert ckan_site.api()("resource_show", id=resource)["url_type"] == "datapusher"


def test_the_callback_is_tried_again_and_has_what_the_contract_says(service, ckan_site, sink):
    sink.failures = 1
    resource = upload(ckan_site.api(), ckan_site.package(), PLAIN)["id"]
    job = service.submit(resource, result_url=f"{sink.url}/cb?x=1")
    until("it told twice", lambda: sink.calls == 2, timeout=90)
    headers, body = sink.told[-1]
    assert headers["Authorization"] == ckan_site.token() and headers["Content-Type"] == "application/json"
    assert job["job_key"].encode() in body and ckan_site.token().encode() not in body
    assert b'"status": "complete"' in body or b'"status":"complete"' in body
    assert service.done(job)["error"] is None


def test_wrong_keys_and_unknown_resources(service, ckan_site):
    private = upload(ckan_site.api(), ckan_site.package(private=True), PLAIN)["id"]
    shown = service.done(service.submit(private, api_key="wrong"))
    assert shown["error"]["HTTP status code"] == 403
    shown = service.done(service.submit("nothing-of-the-kind"))
    assert shown["error"]["HTTP status code"] == 404


def test_a_job_that_was_running_is_begun_again(service, ckan_site):
    package = ckan_site.package()
    resource = upload(ckan_site.api(), package, LARGE)["id"]
    job = service.submit(resource)
    until("rows on their way", lambda: any("Saving chunk" in line["message"] for line in service.look(job)["logs"]), 60)
    service.kill()
    service.start()
    assert service.done(job)["status"] == "complete"
    assert ckan_site.api()("datastore_search", resource_id=resource, limit=0)["total"] == 15_000


def test_more_jobs_than_run_at_once_all_end(service, ckan_site):
    package = ckan_site.package()
    resources = [upload(ckan_site.api(), package, b"n\n%d\n" % i, f"f{i}.csv")["id"] for i in range(9)]
    jobs = [service.submit(resource) for resource in resources]
    assert {service.done(job)["status"] for job in jobs} == {"complete"}

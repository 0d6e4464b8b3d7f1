"""Loaders by their captured answers: what hangs, what is full, what has a secret in it."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest
import requests_mock

from pacifica_fs.archives.ckan.api import Api, Token, judge
from pacifica_fs.archives.ckan.datastore import Info
from pacifica_fs.archives.ckan.loaders import DataPusher, Look, Plugin
from pacifica_fs.archives.ckan.pushes import IN_FLIGHT, FilePush, Push, Pushes, Ways, loaded_wrong
from pacifica_fs.archives.ckan.said import message
from pacifica_fs.archives.ckan.tables import read
from pacifica_fs.archives.ckan.wishes import Wish
from pacifica_fs.clock import SystemClock
from pacifica_fs.transport.http import Http

TRACEBACK = 'Traceback (most recent call last):\n  File "x.py", line 1\nHTTPConnectionPool: Connection refused'
SECRET = "s3cret-token"


class Store:
    """A DataStore in memory, as far as pushes need it."""

    def __init__(self) -> None:
        self.tables: dict[str, Info] = {}
        self.done: list[str] = []

    def open(self, resource):
        return False

    def begin(self, resource):
        self.done.append(f"begin {resource}")

    def finish(self, resource):
        self.done.append(f"finish {resource}")

    def restore(self, resource):
        self.done.append(f"restore {resource}")

    def prepare(self, resource, table):
        self.done.append(f"prepare {resource}")

    def info(self, resource):
        return self.tables.get(resource)

    def push(self, resource, table, **_):
        self.done.append(f"push {resource}")
        self.load(resource, table)

    def load(self, resource, table):
        fields = tuple({"id": field.id, "type": field.type} for field in table.fields)
        self.tables[resource] = Info(table.rows, fields)


class Script:
    """A loader whose jobs end as they are told."""

    name = "datapusher"
    prepared = True

    def __init__(self, store, table, *ends: Look, takes=0.0) -> None:
        self.store, self.table, self.ends, self.takes = store, table, list(ends), takes
        self.submitted: list[str] = []
        self.running, self.most = 0, 0
        self.lock = threading.Lock()

    def submit(self, resource, job, again):
        with self.lock:
            self.submitted.append(job)
            self.running += 1
            self.most = max(self.most, self.running)
        return f"key-{SECRET}"

    def look(self, resource, job, key):
        time.sleep(self.takes)
        with self.lock:
            end = self.ends[0] if len(self.ends) == 1 else self.ends.pop(0)
            if end.state != "pending":
                self.running -= 1
        if end.state == "complete":
            self.store.load(resource, self.table)
        return end


@pytest.fixture
def run(tmp_path: Path):
    """run(*ends) → the files' states after the push of `count` files, the store and the loader."""
    (tmp_path / "a.csv").write_text("n,t\n1,x\n2,y\n")
    table = read(tmp_path / "a.csv", "csv")
    pools = []

    def go(*ends, count=1, mode="auto", patience=60.0, takes=0.0):
        store = Store()
        loader = Script(store, table, *ends, takes=takes)
        ways = Ways(store, lambda mode: loader, lambda: None, str, lambda: (SECRET,), patience)  # type: ignore[arg-type]
        pushes = Pushes(tmp_path / "pushes", ways, SystemClock(), threading.Event())
        pools.append(pushes)
        files = tuple(
            FilePush(f"a{i}.csv", f"r{i}", str(tmp_path / "a.csv"), "csv", Wish(), mode) for i in range(count)
        )
        pushes.add(Push("b1", "p1", files))
        end = time.monotonic() + 30
        while not (found := pushes.get("b1")).over:
            assert time.monotonic() < end, found
            time.sleep(0.02)
        return found, store, loader

    yield go
    for pushes in pools:
        pushes.close()


def test_a_job_that_completes_is_verified(run):
    found, store, loader = run(Look("pending", "1"), Look("complete"))
    assert found.files[0].state == "done" and found.files[0].stored == 2 and found.files[0].route == "datapusher"
    assert store.done == ["begin r0", "prepare r0", "finish r0"] and loader.submitted == ["b1-a0_csv-0"]


def test_a_job_that_hangs_is_given_up_and_loaded_directly(run):
    found, store, _ = run(Look("pending", "same"), patience=0.2)
    assert found.files[0].state == "done" and found.files[0].route == "direct"
    assert "shows no sign of life" in found.files[0].remarks[-1] and store.done[-1] == "push r0"


def test_a_job_that_hangs_where_only_the_loader_is_wanted(run):
    found, store, _ = run(Look("pending", "same"), patience=0.2, mode="datapusher")
    assert found.files[0].state == "failed" and "no sign of life" in found.failure
    assert store.done == ["begin r0", "prepare r0", "restore r0"]


def test_service_full_is_tried_again_under_another_id(run):
    full = Look("error", "1", "Job delayed too long, service full")
    found, _, loader = run(full, Look("complete"))
    assert found.files[0].state == "done" and found.files[0].route == "datapusher"
    assert loader.submitted == ["b1-a0_csv-0", "b1-a0_csv-1"]


def test_an_error_is_a_reason_to_load_directly(run):
    found, store, _ = run(Look("error", "1", "pop from empty list"))
    assert found.files[0].route == "direct" and "pop from empty list; loaded directly" in found.files[0].remarks[-1]
    assert store.done[-1] == "push r0"


def test_complete_without_a_table_is_noticed(run, tmp_path):
    found, _, loader = run(Look("error", "1", "x"))
    table = loader.table
    assert loaded_wrong(table, None, found.files[0]) == ["no table was made"]
    fewer = Info(1, ({"id": "n", "type": "numeric"}, {"id": "t", "type": "text"}))
    assert loaded_wrong(table, fewer, found.files[0]) == ["1 rows are stored, 2 were counted"]
    all_text = Info(2, ({"id": "n", "type": "text"}, {"id": "t", "type": "text"}))
    assert loaded_wrong(table, all_text, found.files[0]) == []


def test_at_most_eight_jobs_are_in_flight(run):
    found, _, loader = run(Look("complete"), count=20, takes=0.05)
    assert all(file.state == "done" for file in found.files) and len(loader.submitted) == 20
    assert 1 < loader.most <= IN_FLIGHT == 8


def test_no_key_is_shown_or_kept(run, tmp_path):
    found, _, _ = run(Look("error", "1", f"Access denied for {SECRET}"), mode="datapusher")
    noted = (tmp_path / "pushes/b1.json").read_text()
    assert SECRET not in noted and SECRET not in json.dumps(found.files[0].shown())
    assert (tmp_path / "pushes/b1.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("error", "text"),
    [({"message": "Job delayed too long, service full"}, "Job delayed too long, service full"),
     ({"message": TRACEBACK}, "HTTPConnectionPool: Connection refused"), ("two\nlines", "two lines"),
     (None, "no reason given"), ({"message": f"bad {SECRET}"}, "bad ***"), ("x" * 900, "x" * 400)],
)  # fmt: skip
def test_what_others_say_on_one_line_without_secrets(error, text):
    assert message(error, (SECRET,)) == text


def plugin(name):
    http = Http("http://ckan", clock=SystemClock(), login=Token(lambda: SECRET), judge=judge)
    return Plugin(Api(http), name, SECRET)


def answer(status, **info):
    result = {"status": status, "job_key": "k", "last_updated": "2026", "task_info": info, "error": {}}
    return {"success": True, "result": result}


def test_the_error_of_a_plugins_job_is_in_its_task():
    with requests_mock.Mocker() as web:
        web.post("http://ckan/api/3/action/datapusher_status", json=answer("error", error={"message": "Not found"}))
        look = plugin("datapusher").look("r", "", "")
    assert (look.state, look.message) == ("error", "Not found")


def test_xloaders_status_has_the_token_in_it_which_is_never_shown():
    with requests_mock.Mocker() as web:
        info = {"api_key": SECRET, "error": f"no access with {SECRET}", "logs": []}
        web.post("http://ckan/api/3/action/xloader_status", json=answer("error", **info))
        look = plugin("xloader").look("r", "", "")
        assert look.message == "no access with ***" and SECRET not in repr(look)


def test_xloader_submits_by_itself_and_is_not_raced():
    with requests_mock.Mocker() as web:
        web.post("http://ckan/api/3/action/xloader_status", json=answer("pending"))
        submit = web.post("http://ckan/api/3/action/xloader_submit", json={"success": True, "result": True})
        plugin("xloader").submit("r", "job", False)
        assert not submit.called
        plugin("xloader").submit("r", "job", True)
        assert submit.called


def test_a_resource_that_was_never_submitted_is_submitted():
    with requests_mock.Mocker() as web:
        missing = {"success": False, "error": {"__type": "Not Found Error", "message": "Not found"}}
        web.post("http://ckan/api/3/action/datapusher_status", json=missing, status_code=404)
        submit = web.post("http://ckan/api/3/action/datapusher_submit", json={"success": True, "result": True})
        plugin("datapusher").submit("r", "job", False)
    assert submit.called


def pusher():
    return DataPusher(Http("http://pusher", clock=SystemClock()), "http://ckan", SECRET)


def test_a_job_that_is_there_already_is_not_sent_twice():
    with requests_mock.Mocker() as web:
        web.post("http://pusher/job/j1", json={"error": "job_id j1 already exists"}, status_code=409)
        assert pusher().submit("r", "j1", False) == ""
        web.get("http://pusher/job", [{"json": {"list": []}}, {"json": {"list": []}}, {"json": {"list": ["/job/j1"]}}])
        assert pusher().look("r", "j1", "").state == "pending"


def test_a_job_of_the_service():
    with requests_mock.Mocker() as web:
        posted = web.post("http://pusher/job/j1", json={"job_id": "j1", "job_key": "k1"})
        assert pusher().submit("r1", "j1", False) == "k1"
        body = posted.last_request.json()
        assert body["job_type"] == "push_to_datastore" and "result_url" not in body
        assert body["metadata"] == {
            "ckan_url": "http://ckan", "resource_id": "r1", "ignore_hash": True, "set_url_type": False,
        }  # fmt: skip
        logs = [{"timestamp": "t", "message": "Saving chunk 2"}]
        looked = web.get("http://pusher/job/j1", json={"status": "pending", "logs": logs, "error": None})
        look = pusher().look("r1", "j1", "k1")
        assert look.state == "pending" and "Saving chunk 2" in look.sign
        assert looked.last_request.headers["Authorization"] == "k1" and looked.last_request.query == "limit=1"

"""The job API of `pacifica-fs datapusher`, as the real DataPusher has it (contract, section 1)."""

from __future__ import annotations

import json
import re
import stat
from datetime import datetime

import pytest

from pacifica_fs.archives.ckan.datapusher.runner import Runner
from pacifica_fs.archives.ckan.datapusher.web import application
from pacifica_fs.archives.ckan.datapusher.work import World
from pacifica_fs.clock import SystemClock
from pacifica_fs.config import DatapusherSettings
from pacifica_fs.transport.reach import Policy

BODY = {
    "api_key": "secret-token",
    "job_type": "push_to_datastore",
    "result_url": "http://127.0.0.1:9/cb",
    "metadata": {"ckan_url": "http://127.0.0.1:9/", "resource_id": "r1", "ignore_hash": False},
}
KEYS = {
    "job_id", "job_type", "status", "data", "error", "requested_timestamp", "finished_timestamp", "sent_data",
    "aps_job_id", "result_url", "metadata", "logs",
}  # fmt: skip


@pytest.fixture
def runner(tmp_path):
    runner = Runner(World(DatapusherSettings(max_waiting=5), Policy(), tmp_path / "d", SystemClock()))
    yield runner
    runner.stop()
    runner.store.close()


@pytest.fixture
def client(runner):
    return application(runner, "master").test_client()


def job(client, id="", **changes):
    body = {key: value for key, value in {**BODY, **changes}.items() if value is not ...}
    return client.post(f"/job/{id}" if id else "/job", json=body)


def test_help_and_status(client):
    assert "help" in client.get("/").json
    assert client.get("/status").json == {
        "job_types": ["push_to_datastore"],
        "name": "datapusher",
        "stats": {"complete": 0, "error": 0, "pending": 0},
        "version": 0.1,
    }


def test_a_job_is_taken_and_its_key_given_out_once(client):
    answer = job(client)
    assert answer.status_code == 200 and answer.content_type == "application/json"
    made = answer.json
    assert set(made) == KEYS | {"job_key"} and made["status"] == "pending" and made["logs"] == []
    assert made["metadata"] == BODY["metadata"] and made["result_url"] == BODY["result_url"]
    datetime.strptime(made["requested_timestamp"], "%Y-%m-%dT%H:%M:%S.%f")  # as CKAN does
    found = client.get(f"/job/{made['job_id']}", headers={"Authorization": made["job_key"]})
    assert found.status_code == 200 and set(found.json) == KEYS
    assert "secret-token" not in answer.text + found.text and made["job_key"] not in found.text
    assert client.get("/status").json["stats"]["pending"] == 1


WRONG = {
    "Please provide your API key.": {"api_key": ...},
    "Please specify a job type": {"job_type": ...},
    "Job type nope not available. Available job types are push_to_datastore": {"job_type": "nope"},
    "Too many arguments. Extra keys are bogus": {"bogus": 1},
    "result_url has to start with http": {"result_url": "ftp://x"},
    "metadata has to be a json object": {"metadata": [1]},
}


@pytest.mark.parametrize("text", WRONG)
def test_wrong_requests_are_409_in_datapushers_words(client, text):
    answer = job(client, **WRONG[text])
    assert answer.status_code == 409 and answer.json == {"error": text}


def test_what_is_no_json_and_an_id_that_is_taken(client):
    for data in (b"{", b"[1]", b"\xff", b"[" * 100_000):
        answer = client.post("/job", data=data, content_type="application/json")
        assert (answer.status_code, answer.json) == (409, {"error": "Malformed json"})
    assert job(client, "mine").json["job_id"] == "mine"
    answer = job(client, "mine")
    assert (answer.status_code, answer.json) == (409, {"error": "job_id mine already exists"})
    assert client.post("/job", data=b"x").status_code == 415


@pytest.mark.parametrize(
    "metadata",
    [{}, {"ckan_url": "http://a"}, {"ckan_url": "file:///x", "resource_id": "r"}, {"ckan_url": 1, "resource_id": "r"},
     {"ckan_url": "http://a", "resource_id": "../x"}, {"ckan_url": "http://a", "resource_id": 5}],
)  # fmt: skip
def test_a_job_that_cannot_work_is_refused_at_once(client, metadata):
    assert job(client, metadata=metadata).status_code == 409


def test_nobody_sees_a_job_without_its_key(client):
    key = job(client, "mine").json["job_key"]
    for path in ("/job/mine", "/job/mine/data"):
        for wrong in ({}, {"Authorization": "x"}, {"Authorization": ""}, {"Authorization": "\xe9"}):
            answer = client.get(path, headers=wrong)
            assert (answer.status_code, answer.json) == (403, {"error": "not authorized"})
        for right in (key, "master"):
            assert client.get(path, headers={"Authorization": right}).status_code == 200
    assert client.delete("/job/mine").status_code == 403
    assert (client.get("/job/none").status_code, client.get("/job/none").json) == (404, {"error": "job_id not found"})
    assert client.delete("/job/none").status_code == 404


def test_no_secret_of_the_service_opens_nothing(runner):
    client = application(runner).test_client()
    job(client, "mine")
    assert client.get("/job/mine", headers={"Authorization": ""}).status_code == 403
    assert client.delete("/job?days=1").status_code == 403


def test_lists_newest_first_by_state_and_metadata(client, runner):
    for name in ("a", "b", "c"):
        other = {**BODY["metadata"], "resource_id": f"r-{name}", "n": 5}
        job(client, name, metadata=other)
    assert client.get("/job").json == {"list": ["/job/c", "/job/b", "/job/a"]}
    assert client.get("/job?_limit=1&_offset=1").json == {"list": ["/job/b"]}
    assert client.get("/job?resource_id=r-a&_status=pending").json == {"list": ["/job/a"]}
    assert client.get("/job?resource_id=r-a&_status=complete").json == {"list": []}
    assert client.get("/job?n=5&resource_id=r-b").json == {"list": ["/job/b"]}
    assert client.get("/job?ignore_hash=false&none=x").json == {"list": []}
    assert client.get("/job?_limit=many").status_code == 409


def test_the_newest_log_lines(client, runner):
    job(client, "mine")
    for number in range(3):
        runner.store.log("mine", f"line {number}")
    logs = client.get("/job/mine?limit=2", headers={"Authorization": "master"}).json["logs"]
    assert [line["message"] for line in logs] == ["line 1", "line 2"]
    assert set(logs[0]) == {"timestamp", "message", "level", "module", "funcName", "lineno"}
    assert client.get("/job/mine?limit=0", headers={"Authorization": "master"}).json["logs"] == []
    assert len(client.get("/job/mine", headers={"Authorization": "master"}).json["logs"]) == 3


def test_deleting(client):
    key = job(client, "mine").json["job_key"]
    assert client.delete("/job/mine", headers={"Authorization": key}).json == {"success": True}
    assert client.get("/job").json == {"list": []}
    assert client.delete("/job?days=0", headers={"Authorization": "master"}).json == {"success": True}


def test_a_flood_is_turned_away(client):
    for number in range(5):
        assert job(client, str(number)).status_code == 200
    answer = job(client)
    assert answer.status_code == 503 and "too many jobs wait" in answer.json["error"]


def test_unknown_paths_and_large_bodies_are_answered_as_json(client):
    assert client.get("/nothing").json["error"] and client.get("/nothing").status_code == 404
    assert client.put("/job", json={}).status_code == 405
    answer = client.post("/job", data=b"x" * (5 << 20), content_type="application/json")
    assert answer.status_code == 413 and answer.json["error"]


def test_jobs_are_there_after_a_restart_in_a_file_of_the_owner(client, runner, tmp_path):
    key = job(client, "mine").json["job_key"]
    assert stat.S_IMODE((tmp_path / "d/jobs.db").stat().st_mode) == 0o600
    again = Runner(runner.world)
    found = application(again).test_client().get("/job/mine", headers={"Authorization": key})
    assert found.json["status"] == "pending"
    again.stop()
    again.store.close()


def test_a_job_that_may_not_reach_its_site_fails_and_its_secrets_are_wiped(client, runner, tmp_path):
    from tests.integration.tools import until

    key = job(client, "mine").json["job_key"]
    assert key.encode() in (tmp_path / "d/jobs.db").read_bytes()
    runner.start()
    until("the job over", lambda: runner.store.get("mine").told, timeout=60)
    shown = client.get("/job/mine", headers={"Authorization": key}).json
    assert shown["status"] == "error" and "127.0.0.1 may not be reached" in shown["error"]["message"]
    assert re.search(r"unable to post to result_url: 127.0.0.1 may not", json.dumps(shown["logs"]))
    left = (tmp_path / "d/jobs.db").read_bytes()
    assert b"secret-token" not in left and key.encode() not in left

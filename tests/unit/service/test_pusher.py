"""`pacifica-fs datapusher`: its settings, and the entry for other WSGI servers."""

from __future__ import annotations

import pytest
from click.testing import CliRunner
from werkzeug.test import Client

from pacifica_fs.archives.ckan.datapusher.work import Key
from pacifica_fs.cli.main import cli
from pacifica_fs.service import pusher

WRONG = {
    "datapusher.allow_hosts: a host, host:port": 'allow_hosts = ["http://a.org"]',
    "datapusher.jobs: at least 1": "jobs = 0",
    "datapusher.ca_bundle: there is no file": 'ca_bundle = "/nowhere.pem"',
    "unknown key 'lisen'; did you mean 'listen'": 'lisen = "x"',
    "a time like": 'job_timeout = "soon"',
    "HOST:PORT was expected": 'listen = "here"',
}


@pytest.fixture
def check(tmp_path):
    def run(text):
        (tmp_path / "c.toml").write_text(f"[datapusher]\n{text}\n")
        return CliRunner().invoke(cli, ["datapusher", "--check-config", "-c", str(tmp_path / "c.toml")])

    return run


@pytest.mark.parametrize("said", WRONG)
def test_wrong_settings_are_said(check, said):
    result = check(WRONG[said])
    assert result.exit_code == 2 and said in result.output and "Traceback" not in result.output


def test_right_settings(check):
    result = check('listen = "127.0.0.1:5555"\nallow_hosts = ["10.0.0.0/8", "*"]\njob_timeout = "1h"')
    assert result.exit_code == 0 and "listens on 127.0.0.1:5555, may reach 10.0.0.0/8, *" in result.output


def test_the_entry_for_other_servers(tmp_path, monkeypatch):
    made = []
    real = pusher.build
    monkeypatch.setattr(pusher, "build", lambda *args: made.append(real(*args)) or made[-1])
    monkeypatch.setattr(pusher, "_made", [])
    monkeypatch.setattr("pacifica_fs.service.log.configure", lambda *args: None)
    (tmp_path / "c.toml").write_text("")
    monkeypatch.setenv("PACIFICA_FS_CONFIG", str(tmp_path / "c.toml"))
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    try:
        client = Client(pusher.application)
        assert client.get("/status").json["name"] == "datapusher" and client.get("/").status_code == 200
        assert len(made) == 1 and (tmp_path / "state/datapusher/jobs.db").exists()
    finally:
        for one in made:
            one.runner.stop()


def test_a_key_may_name_its_header():
    class Request:
        headers: dict[str, str] = {}  # noqa: RUF012

    assert Key("abc")(Request()).headers == {"Authorization": "abc"}
    Request.headers = {}
    assert Key("X-CKAN-API-Key:abc")(Request()).headers == {"X-CKAN-API-Key": "abc"}

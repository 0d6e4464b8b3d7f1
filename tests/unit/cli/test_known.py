"""What `init` takes from other programs' configurations, and that no secret comes along."""

import json
import tomllib

import pytest

from pacifica_fs import config
from pacifica_fs.cli.known import everything
from pacifica_fs.cli.report import redacted

CLI = """
[endpoints]
upload_url = https://ingest.emsl.example.org/upload
upload_status_url = https://ingest.emsl.example.org/get_state
upload_policy_url = https://policy.emsl.example.org/uploader
upload_validation_url = https://policy.emsl.example.org/ingest
download_url = https://cart.emsl.example.org
ca_bundle = /etc/ssl/site.pem
[authentication]
type = basic
username = me
password = hunter2
"""
TARDIS = "[mytardisclient]\nurl = https://tardis.example.org\nusername = demo\napikey = hunter2\n"


@pytest.fixture
def home(outside):
    home = outside.environ["HOME"]
    from pathlib import Path

    return Path(home)


def test_all_three(run, home, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (home / ".pacifica_cli").mkdir()
    (home / ".pacifica_cli/config.ini").write_text(CLI)
    (home / ".datajoint_config.json").write_text(json.dumps({"custom": {"djarchive.bucket": "b"}}))
    (home / ".config/mytardisclient").mkdir(parents=True)
    (home / ".config/mytardisclient/mytardisclient.cfg").write_text(TARDIS)
    result = run("init")
    assert result.exit_code == 0, result.output
    assert "keyring set pacifica-fs:emsl me" in result.stderr
    file = home / ".config/pacifica-fs/config.toml"
    assert file.stat().st_mode & 0o077 == 0
    text = file.read_text()
    assert "hunter2" not in text
    tables = tomllib.loads(text)["archives"]
    assert tables["emsl"] == {
        "kind": "pacifica",
        "policy": "https://policy.emsl.example.org",
        "ingest": "https://ingest.emsl.example.org",
        "cart": "https://cart.emsl.example.org",
        "ca_bundle": "/etc/ssl/site.pem",
        "auth": {"type": "basic", "username": "me"},
    }
    assert tables["elements"] == {"kind": "djarchive", "datajoint": True}
    assert tables["tardis"] == {"kind": "mytardis", "url": "https://tardis.example.org", "username": "demo"}
    again = run("init")
    assert (again.exit_code, "--force" in again.stderr) == (1, True)
    assert run("init", "--force").exit_code == 0


def test_nothing_is_known(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("init", "-o", "site.toml").exit_code == 0
    loaded = config.load(tmp_path / "site.toml")
    assert [(each.name, each.kind) for each in loaded.archives] == [("here", "local")]
    shown = run("init", "-o", "-").stdout
    assert shown == (tmp_path / "site.toml").read_text()
    # The examples are right as well.
    lines = [
        line.removeprefix("# ") for line in shown.splitlines() if line.startswith(("# [", "# kind", "# pol", "# url"))
    ]
    assert set(tomllib.loads("\n".join(lines))["archives"]) == {"emsl", "opendata"}


def test_a_file_that_cannot_be_understood(run, home):
    (home / ".datajoint_config.json").write_text("{")
    result = run("init", "-o", "-")
    assert (result.exit_code, ".datajoint_config.json: cannot be understood" in result.stderr) == (2, True)


def test_nothing_anywhere(tmp_path):
    assert everything({"HOME": str(tmp_path)}, tmp_path) == []


@pytest.mark.parametrize(
    "text",
    [
        'password = "hunter2"',
        "auth = { type = 'basic', password = 'hunter2' }",
        "https://me:hunter2@example.org/x",
        '{"secret_key": "hunter2", "x": 1}',
        "Authorization: Bearer hunter2",
        "api_key=hunter2",
    ],
)
def test_secrets_are_taken_out(text):
    assert "hunter2" not in redacted(text)
    assert "***" in redacted(text)


def test_the_rest_stays():
    text = 'username = "me"\npolicy = "https://policy.example.org/x@y"\nlimit = "50 GiB"\n'
    assert redacted(text) == text

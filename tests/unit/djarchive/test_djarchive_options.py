"""The configuration: own keys, and datajoint's files and variables, read without datajoint."""

import json
import logging
import sys

import pytest

from pacifica_fs.archive import Effects
from pacifica_fs.archives.djarchive import build
from pacifica_fs.archives.djarchive.datajoint import read
from pacifica_fs.archives.djarchive.options import BUCKET, choose
from pacifica_fs.clock import SystemClock
from pacifica_fs.config import parse
from pacifica_fs.errors import ConfigError

ADMIN = {"djarchive.admin.access_key": "boss", "djarchive.admin.secret_key": "boss-secret"}
CLIENT = {
    "djarchive.client.endpoint": "s3.lab.example",
    "djarchive.client.bucket": "lab.bucket",
    "djarchive.client.access_key": "me",
    "djarchive.client.secret_key": "mine",
}


def settings(**options):
    return parse({"archives": {"elements": {"kind": "djarchive", **options}}}, ("test.toml",)).archives[0]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working folder and home of who runs this."""
    (tmp_path / "home").mkdir()
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path


@pytest.fixture
def environ(folder):
    return {"HOME": str(folder / "home")}


def write(path, custom, **more):
    path.write_text(json.dumps({"custom": custom, **more}))


def test_the_defaults_are_the_public_archive():
    found = choose(settings(), {})
    assert (found.endpoint, found.bucket, found.region) == ("https://s3.djhub.io", BUCKET, "us-east-1")
    assert found.filter.match(".hidden") and not found.filter.match("shown.")
    assert found.admin is None and not found.incomplete


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("s3.example.org", "https://s3.example.org"),
        ("s3.example.org:9000", "https://s3.example.org:9000"),
        ("http://127.0.0.1:8333", "http://127.0.0.1:8333"),
        ("https://s3.example.org/", "https://s3.example.org"),
    ],
)
def test_endpoints_with_and_without_a_scheme(endpoint, url):
    assert choose(settings(endpoint=endpoint), {}).endpoint == url


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"endpoint": "s3.example.org/path"}, "endpoint: a host like"),
        ({"endpoint": "ftp://s3.example.org"}, "endpoint: a host like"),
        ({"endpoint": "https://me:hunter2@s3.example.org"}, "endpoint: no keys in an address"),
        ({"bucket": "no bucket"}, "bucket: the name of a bucket"),
        ({"filename_filter": "("}, "filename_filter: not a regular expression"),
        ({"ca_bundle": "/nowhere/ca.pem"}, "ca_bundle: /nowhere/ca.pem cannot be read"),
        ({"times": "now"}, "times"),
        ({"parallel": 0}, "parallel"),
        ({"enpoint": "x"}, "did you mean 'endpoint'"),
        ({"admin": {"acces_key": "x"}}, "did you mean 'access_key'"),
    ],
)
def test_what_is_wrong_is_said(options, words):
    with pytest.raises(ConfigError) as caught:
        choose(settings(**options), {})
    assert words in str(caught.value) and "test.toml" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_ca_bundle_without_certificates(tmp_path):
    (tmp_path / "ca.pem").write_text("nothing")
    with pytest.raises(ConfigError, match="no certificate in"):
        choose(settings(ca_bundle=str(tmp_path / "ca.pem")), {})


def test_an_empty_filter_takes_nothing():
    assert not choose(settings(filename_filter=""), {}).filter.match(".hidden")


def test_datajoints_file_in_the_home_folder(folder, environ):
    write(folder / "home/.datajoint_config.json", CLIENT | ADMIN | {"djarchive.filename_filter": "^_"})
    found = choose(settings(datajoint=True), environ)
    assert (found.endpoint, found.bucket) == ("https://s3.lab.example", "lab.bucket")
    assert (found.access_key, found.secret_key) == ("me", "mine")
    assert (found.admin.access_key, found.admin.secret_key) == ("boss", "boss-secret")
    assert found.filter.pattern == "^_"
    assert "datajoint" not in sys.modules and "mine" not in repr(read(environ))


def test_datajoints_file_in_the_working_folder_comes_first(folder, environ):
    write(folder / "home/.datajoint_config.json", CLIENT)
    write(folder / "work/dj_local_conf.json", {"djarchive.bucket": "local.bucket", "djarchive.endpoint": "here:9000"})
    found = choose(settings(datajoint=True), environ)
    assert (found.endpoint, found.bucket, found.access_key) == ("https://here:9000", "local.bucket", "")


def test_the_environment_comes_before_the_files_and_own_keys_before_both(folder, environ):
    write(folder / "home/.datajoint_config.json", CLIENT)
    environ |= {
        "DJARCHIVE_CLIENT_ENDPOINT": "env.example",
        "DJARCHIVE_CLIENT_BUCKET": "env.bucket",
        "DJARCHIVE_CLIENT_ACCESSKEY": "env-key",
        "DJARCHIVE_CLIENT_SECRETKEY": "env-secret",
    }
    found = choose(settings(datajoint=True, bucket="own.bucket"), environ)
    assert (found.endpoint, found.bucket) == ("https://env.example", "own.bucket")
    assert (found.access_key, found.secret_key) == ("env-key", "env-secret")
    assert choose(settings(), environ).bucket == BUCKET, "not asked for, not looked at"


def test_client_keys_are_not_admin_keys(folder, environ):
    write(folder / "home/.datajoint_config.json", CLIENT)
    assert choose(settings(datajoint=True), environ).admin is None


def test_admin_elsewhere_is_another_archive(folder, environ):
    write(folder / "home/.datajoint_config.json", CLIENT | ADMIN | {"djarchive.admin.bucket": "other.bucket"})
    with pytest.raises(ConfigError, match=r"djarchive\.admin\.bucket is not djarchive\.client\.bucket"):
        choose(settings(datajoint=True), environ)


@pytest.mark.parametrize("text", ["{", "[]", '{"custom": 3}', '{"custom": {"djarchive.bucket": 3}}'])
def test_a_file_that_is_none(folder, environ, text):
    (folder / "work/dj_local_conf.json").write_text(text)
    with pytest.raises(ConfigError, match=r"dj_local_conf\.json"):
        choose(settings(datajoint=True), environ)


def test_no_file_at_all_is_the_public_archive(environ):
    assert choose(settings(datajoint=True), environ).bucket == BUCKET


def test_level_and_file_of_the_log(folder, environ):
    write(folder / "home/.datajoint_config.json", {"logfile": str(folder / "dj.log")}, loglevel="WARNING")
    found = choose(settings(datajoint=True), environ)
    assert (found.loglevel, found.logfile) == ("WARNING", str(folder / "dj.log"))
    assert choose(settings(datajoint=True), environ | {"DJARCHIVE_LOGLEVEL": "debug"}).loglevel == "DEBUG"
    with pytest.raises(ConfigError, match="loglevel"):
        choose(settings(datajoint=True), environ | {"DJARCHIVE_LOGLEVEL": "loud"})
    # The client's README calls the file's key `loglevel`.
    write(folder / "home/.datajoint_config.json", {"loglevel": "/tmp/elsewhere.log"})
    assert choose(settings(datajoint=True), environ).logfile == "/tmp/elsewhere.log"


def test_the_log_is_as_loud_as_datajoint_says(folder, environ):
    write(folder / "home/.datajoint_config.json", {"logfile": str(folder / "dj.log")})
    effects = Effects(SystemClock(), folder, folder, environ=environ | {"DJARCHIVE_LOGLEVEL": "DEBUG"})
    build(settings(datajoint=True), effects)
    log = logging.getLogger("pacifica_fs.archives.djarchive.elements")
    try:
        log.debug("a file was fetched")
        assert "a file was fetched" in (folder / "dj.log").read_text()
    finally:
        for handler in list(log.handlers):
            log.removeHandler(handler)
            handler.close()
        log.setLevel(logging.NOTSET)


def test_uploads_only_with_admin(folder, environ):
    effects = Effects(SystemClock(), folder, folder, environ=environ)
    assert build(settings(), effects).inbox is None
    assert build(settings(admin={}), effects).inbox is not None


def test_who_reads(folder, environ):
    effects = Effects(SystemClock(), folder, folder, environ=environ)
    assert build(settings(), effects).archive.identity == "anonymous"
    keyed = Effects(
        SystemClock(), folder, folder, environ=environ | {"PACIFICA_FS_ELEMENTS_ACCESS_KEY": "AKIA1234WXYZ"}
    )
    identity = build(settings(), keyed).archive.identity
    assert identity.endswith("WXYZ") and "AKIA" not in identity
    other = Effects(SystemClock(), folder, folder, environ=environ | {"PACIFICA_FS_ELEMENTS_ACCESS_KEY": "OTHERWXYZ"})
    assert build(settings(), other).archive.identity != identity

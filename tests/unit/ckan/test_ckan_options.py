"""The configuration of a CKAN archive."""

from __future__ import annotations

import pytest

from pacifica_fs.archive import Effects
from pacifica_fs.archives.ckan.archive import build
from pacifica_fs.clock import SystemClock
from pacifica_fs.config import parse
from pacifica_fs.errors import ConfigError


def made(tmp_path, **table):
    settings = parse({"archives": {"opendata": {"kind": "ckan", **table}}}).archives[0]
    built = build(settings, Effects(SystemClock(), tmp_path / "state", tmp_path / "cache"))
    built.archive.close()
    return built


def test_an_address_is_enough(tmp_path):
    built = made(tmp_path, url="https://ckan.example.org")
    assert built.archive.kind == "ckan" and built.inbox is not None
    assert [view.name for view in built.archive.views] == ["", "packages"]
    assert not (tmp_path / "state").exists(), "nothing is made before it is needed"


@pytest.mark.parametrize(
    ("table", "why"),
    [({}, "'url' is missing"), ({"url": "ckan.example.org"}, "url: an address like"),
     ({"url": "https://me:pw@ckan.example.org"}, "no user, password"),
     ({"url": "https://c", "datapusher": "pusher"}, "datapusher: an address"),
     ({"url": "https://c", "mode": "fast"}, "mode"), ({"url": "https://c", "max_upload": "much"}, "a size like"),
     ({"url": "https://c", "parallel": 0}, "parallel: at least 1"), ({"url": "https://c", "tokn": "x"}, "did you mean"),
     ({"url": "https://c", "ca_bundle": "/no/such/file"}, "there is no file")],
)  # fmt: skip
def test_what_is_wrong_is_named(tmp_path, table, why):
    with pytest.raises(ConfigError, match=why):
        made(tmp_path, **table)


def test_a_token_is_found_in_the_environment_and_never_shown(tmp_path):
    settings = parse({"archives": {"opendata": {"kind": "ckan", "url": "https://ckan.example.org"}}}).archives[0]
    environ = {"PACIFICA_FS_OPENDATA_TOKEN": "s3cret"}
    built = build(settings, Effects(SystemClock(), tmp_path, tmp_path, environ=environ))
    identity = built.archive.identity
    built.archive.close()
    assert identity.startswith("token ") and "s3cret" not in identity

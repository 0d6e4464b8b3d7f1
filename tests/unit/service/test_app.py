"""The composition root."""

import threading

import pytest

from pacifica_fs.archive import Built, Effects
from pacifica_fs.clock import SystemClock
from pacifica_fs.config import Places, load, parse
from pacifica_fs.errors import ConfigError
from pacifica_fs.service import app, kinds
from pacifica_fs.service.app import App, build_archive, kernel_timeout, readme
from pacifica_fs.tree.views import walk


@pytest.fixture
def places(tmp_path):
    return Places(tmp_path / "state", tmp_path / "cache")


@pytest.fixture
def effects(places):
    return Effects(clock=SystemClock(), state=places.state, cache=places.cache, environ={})


class ToyPoint:
    """An entry point whose package is broken."""

    name = "broken"

    def load(self):
        raise ImportError("No module named 'nosuch'")


def settings(**table):
    (found,) = parse({"archives": {"site": table}}, ("file.toml",)).archives
    return found


def test_an_unknown_kind(effects):
    with pytest.raises(ConfigError) as error:
        build_archive(settings(kind="nosuch"), effects)
    text = str(error.value)
    assert text.startswith("file.toml: [archives.site]: unknown kind 'nosuch'")
    assert {"local", "pacifica"} <= set(text.rpartition("known are: ")[2].split(", "))


def test_a_kind_whose_package_is_broken(effects, monkeypatch):
    monkeypatch.setattr(kinds, "entry_points", lambda group: [ToyPoint()])
    with pytest.raises(ConfigError, match="kind 'broken' cannot be loaded: No module named 'nosuch'"):
        build_archive(settings(kind="broken"), effects)
    monkeypatch.setattr(kinds, "entry_points", lambda group: [])
    with pytest.raises(ConfigError, match="none \\(is the package installed"):
        build_archive(settings(kind="local"), effects)


def test_a_kind_of_another_package(effects, monkeypatch):
    made = Built(archive=object())

    class Point:
        name = "mine"

        def load(self):
            return lambda settings, effects: made

    monkeypatch.setattr(kinds, "entry_points", lambda group: [Point()] if group == "pacifica_fs.archives" else [])
    assert build_archive(settings(kind="mine", anything=1), effects) is made


@pytest.mark.parametrize(
    ("limits", "expected"),
    [((None, None), None), (("0", "0"), None), (("60", "0"), 60.0), (("60", "30"), 30.0), (("nonsense", "5"), 5.0)],
)
def test_the_kernels_request_timeout(monkeypatch, tmp_path, limits, expected):
    paths = tuple(tmp_path / str(number) for number in range(2))
    for path, text in zip(paths, limits, strict=True):
        if text is not None:
            path.write_text(text + "\n")
    monkeypatch.setattr(app, "REQUEST_TIMEOUTS", paths)
    assert kernel_timeout() == expected


def test_the_readme_names_what_is_there():
    class Archive:
        kind = "toy"

    text = readme({"emsl": Archive(), "here": Archive()})
    assert "emsl/" in text and "here/" in text and "kind toy" in text
    for word in ("drop/", "status/", "metadata.json", ".commit", "pacifica-fs check"):
        assert word in text
    assert max(map(len, text.splitlines())) <= 120


def test_building_contacts_nobody_and_starts_nothing(places, tmp_path):
    before = set(threading.enumerate())
    config = parse(
        {
            "archives": {
                "here": {"kind": "local", "path": str(tmp_path / "archive")},
                # An address at which any connection would fail the test's own way: nobody listens there.
                "site": {"kind": "pacifica", "policy": "http://127.0.0.1:9", "cart": "http://127.0.0.1:9"},
            }
        }
    )
    built = App.build(config, places, SystemClock(), {})
    assert set(threading.enumerate()) == before
    root = built.root()
    assert [name for name, _ in root.entries()] == ["README.txt", "here", "site", "status", "drop"]
    assert [name for name, _ in walk(root, "site").entries()][:3] == ["transactions", "recent", "projects"]
    assert places.state.stat().st_mode & 0o777 == places.cache.stat().st_mode & 0o777 == 0o700
    text = walk(root, "status", "metrics").render().decode()
    assert "pacifica_fs_cache_limit" in text
    assert walk(root, "status", "log").render() == b""


def test_folders_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    places = Places(tmp_path / "file/state", tmp_path / "cache")
    with pytest.raises(ConfigError, match=r"file/state: cannot be made: Not a directory; set \[drop\] path"):
        App.build(parse({}), places, SystemClock(), {})


def test_check_asks_every_archive(places, tmp_path):
    folder = tmp_path / "archive"
    config = parse({"archives": {"here": {"kind": "local", "path": str(folder)}}})
    (found,) = App.build(config, places, SystemClock(), {}).check()
    assert (found.archive, found.kind, found.uploads) == ("here", "local", True)
    assert found.health.reachable, found.health.error


def test_secrets_that_others_can_read_are_logged(tmp_path, places, caplog):
    file = tmp_path / "config.toml"
    file.write_text('[archives.x]\nkind = "nosuch"\ntoken = "hush"\n')
    for mode, count in ((0o600, 0), (0o644, 1)):
        caplog.clear()
        file.chmod(mode)
        with pytest.raises(ConfigError):
            App.build(load(file, {}), places, SystemClock(), {})
        assert [str(file) in line and "chmod 600" in line for line in caplog.messages] == [True] * count
        assert "hush" not in caplog.text


def test_prefetch_where_there_are_no_events_is_an_error(places, tmp_path):
    table = {"kind": "local", "path": str(tmp_path / "archive"), "prefetch": [{"project": "1234a"}]}
    with pytest.raises(ConfigError, match="prefetch"):
        App.build(parse({"archives": {"here": table}}), places, SystemClock(), {})

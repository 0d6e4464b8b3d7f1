"""TOML into typed values."""

import pytest

from pacifica_fs import config
from pacifica_fs.archives.local import Options
from pacifica_fs.errors import ConfigError


def archive(**table):
    (found,) = config.parse({"archives": {"site": {"kind": "local", **table}}}, ("file.toml",)).archives
    return found


def test_common_keys_and_those_of_the_kind():
    found = archive(path="/x", read_wait="2 min", defaults={"project": "1234a"}, name="of the kind", source="too")
    assert (found.name, found.source, found.read_wait, found.defaults) == (
        "site",
        "file.toml",
        120,
        {"project": "1234a"},
    )
    assert found.options == {"path": "/x", "name": "of the kind", "source": "too"}


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"listing_limit": 0}, r"file.toml: archives.site.listing_limit: at least 1"),
        ({"listing_limit": "many"}, r"file.toml: archives.site.listing_limit: expected 'int'"),
        ({"read": "lazy"}, r"archives.site.read: .*'lazy'"),
        ({"read_wait": "soon"}, r"archives.site.read_wait: a time like .* not 'soon'"),
        ({"kind": 5}, r"archives.site.kind: expected 'str'"),
    ],
)
def test_a_wrong_value_is_named(table, words):
    with pytest.raises(ConfigError, match=words):
        archive(**table)


@pytest.mark.parametrize("command", ["say 'it", " ", [""], ["a\0b"]])
def test_a_command_that_can_never_be_run_is_an_error_now(command):
    with pytest.raises(ConfigError, match=r"drop.on_state: a command or an address was expected"):
        config.parse({"drop": {"on_state": command}})
    config.parse({"drop": {"on_state": "http://site/it's"}})


def test_a_misspelt_common_key_is_recognised_though_only_the_kind_can_refuse_it():
    with pytest.raises(ConfigError, match=r"\[archives.site\]: unknown key 'read_wat'; did you mean 'read_wait'\?"):
        archive(read_wat="1s").options_as(Options)


def test_an_error_of_merged_files_names_both():
    with pytest.raises(ConfigError, match=r"^system.toml and user.toml: \[archives.x\]: the key 'kind' is missing"):
        config.parse({"archives": {"x": {}}}, ("system.toml", "user.toml"))


def test_secrets_are_found_wherever_they_stand():
    found = config.parse(
        {"archives": {"a": {"kind": "x", "token": "t", "auth": {"password": "p"}}, "b": {"kind": "y"}}}
    )
    assert config.secrets(found) == ["archives.a.token", "archives.a.auth.password"]


def test_prefetch_rules():
    rules = [{"project": "1234a", "instrument": 54, "keys": {"Tag": "first"}}, {}]
    (archive,) = config.parse({"archives": {"site": {"kind": "pacifica", "prefetch": rules}}}).archives
    first, all_of_them = archive.prefetch_rules
    assert first.where == {"project": "1234a", "instrument": "54"} and first.keys == {"Tag": "first"}
    assert not all_of_them.where and not all_of_them.keys


@pytest.mark.parametrize(
    ("rule", "said"),
    [({"projct": "1"}, "projct"), ({"keys": ["Tag"]}, "keys"), ({"project": ["1"]}, "project"), ("all", "prefetch")],
)
def test_wrong_prefetch_rules(rule, said):
    with pytest.raises(ConfigError, match=said):
        config.parse({"archives": {"site": {"kind": "pacifica", "prefetch": [rule]}}}, ("test.toml",))

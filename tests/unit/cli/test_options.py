from pathlib import Path

import pytest

from pacifica_fs import config
from pacifica_fs.cli import options
from pacifica_fs.cli.options import Parsed, parse
from pacifica_fs.errors import ConfigError


def test_what_mount_and_fstab_pass_on_is_accepted():
    given = ["rw,noauto,user,_netdev,nofail,defaults", "x-systemd.automount,X-mount.mkdir,comment=x,user=me"]
    assert parse(given) == Parsed()


def test_options_that_mean_something():
    parsed = parse(["allow_other,uid=1000,gid=100", "config=/etc/site.toml,fsname=site,nosuid,nodev,nosuid"])
    assert parsed == Parsed(Path("/etc/site.toml"), True, "site", 1000, 100, ("nosuid", "nodev"))


def test_users_and_groups_by_name():
    assert parse(["uid=root,gid=root"]) == Parsed(uid=0, gid=0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ro", "read-only"),
        ("allow_othr", "did you mean 'allow_other'?"),
        ("entirely_unknown", "known are config=FILE"),
        ("config=", "a value is missing"),
        ("config", "a value is missing"),
        ("uid=no such user", "no user of that name"),
        ("gid=no such group", "no group of that name"),
        ("auto_unmount", "swallow"),
        ("remount", "unmount it and mount it again"),
    ],
)
def test_refused_options_are_named_and_explained(text, words):
    with pytest.raises(ConfigError) as refusal:
        parse(["defaults", text])
    assert f"-o {text}" in str(refusal.value)
    assert words in str(refusal.value)


def test_sloppy_ignores_the_unknown_but_not_what_is_refused():
    assert parse(["entirely_unknown,allow_other"], sloppy=True) == Parsed(allow_other=True)
    with pytest.raises(ConfigError):
        parse(["ro"], sloppy=True)


def test_text_is_the_way_back():
    parsed = Parsed(None, True, "site", 0, 7, ("nosuid", "noexec"))
    assert parse([options.text(parsed)]) == parsed
    assert options.text(Parsed()) == ""


def test_the_source_is_the_configuration_file():
    settings = config.parse({"mount": {"allow_other": True}})
    assert options.with_defaults(Parsed(), settings, Path("/etc/site.toml")) == Parsed(None, True, "/etc/site.toml")
    assert options.with_defaults(Parsed(fsname="x"), settings, Path("/y")).fsname == "x"
    assert options.with_defaults(Parsed(), settings, Path("/with,comma")).fsname == "pacifica-fs"
    assert options.with_defaults(Parsed(), settings, None).fsname == "pacifica-fs"


def test_modes():
    def access(word):
        return options.access(config.parse({"mount": {"access": word}}))

    assert access("me") == options.Access(0o600, 0o700, None, False)
    assert access("group:root") == options.Access(0o640, 0o750, 0, True)
    assert access("everyone") == options.Access(0o644, 0o755, None, True)
    for wrong in ("world", "group", "group:", "all"):
        with pytest.raises(ConfigError, match=r'mount.access: "me", "group:NAME" or "everyone" was expected'):
            access(wrong)
    with pytest.raises(ConfigError, match="there is no group 'no-such'"):
        access("group:no-such")
    assert options.with_defaults(Parsed(), config.parse({"mount": {"access": "everyone"}}), None).allow_other

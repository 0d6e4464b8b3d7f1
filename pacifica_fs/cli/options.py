"""`-o` options, as mount(8), fstab and people write them."""

from __future__ import annotations

import difflib
import grp
import pwd
from collections.abc import Iterable
from pathlib import Path

import msgspec

from ..config import APP, Config
from ..errors import ConfigError

# What mount(8) and systemd understand themselves and pass on, or what is true of every pacifica-fs mount anyway.
IGNORED = frozenset({
    "defaults", "auto", "noauto", "user", "nouser", "users", "owner", "group", "_netdev", "nofail", "rw", "async",
    "suid", "dev", "exec", "atime", "diratime", "relatime", "norelatime", "strictatime", "nostrictatime", "lazytime",
    "nolazytime", "loud", "silent", "iversion", "noiversion", "nosymfollow",
})  # fmt: skip
IGNORED_KEYS = frozenset({"comment", "user"})
PASSED_ON = frozenset({"nosuid", "nodev", "noexec", "noatime", "nodiratime", "sync", "dirsync"})
REFUSED = {
    "ro": "archives are read-only anyway, and a read-only mount would have no drop/; leave 'ro' out",
    "remount": "pacifica-fs cannot change a mount; unmount it and mount it again",
    "bind": "this is for mount --bind, which needs no pacifica-fs",
    "move": "this is for mount --move, which needs no pacifica-fs",
    "mand": "pacifica-fs has no mandatory locks",
    "allow_root": "use allow_other; the file modes then decide who may read",
    "auto_unmount": "an empty folder in place of a dead mount would swallow files that are dropped",
    "nonempty": "what is in the folder would be hidden; mount over an empty one",
    "default_permissions": "the kernel's permission checks are always on; leave it out",
    "kernel_cache": "pacifica-fs decides for each file what the kernel keeps; leave it out",
    "direct_io": "pacifica-fs decides for each file what the kernel keeps; leave it out",
}
KNOWN = ("config=FILE", "allow_other", "uid=USER", "gid=GROUP", "fsname=NAME", "metrics_listen=ADDRESS")


class Parsed(msgspec.Struct, frozen=True):
    """What the options say. `config` is None where they name no file; `extra` goes to the FUSE library as it is."""

    config: Path | None = None
    allow_other: bool = False
    fsname: str = ""
    uid: int | None = None
    gid: int | None = None
    extra: tuple[str, ...] = ()
    metrics_listen: str = ""


def parse(texts: Iterable[str], sloppy: bool = False) -> Parsed:
    """The options of several `-o` arguments, each a comma-separated list; `sloppy` ignores what is unknown.

    Raises ConfigError with the option, and what to write instead where that is known.
    """
    found = Parsed()
    for option in _split(texts):
        found = _take(found, option, sloppy)
    return found


def _split(texts: Iterable[str]) -> list[str]:
    return [option.strip() for text in texts for option in text.split(",") if option.strip()]


def _take(found: Parsed, option: str, sloppy: bool) -> Parsed:
    key, equals, value = option.partition("=")
    replace = msgspec.structs.replace
    if key in REFUSED:
        raise ConfigError(f"-o {option}: {REFUSED[key]}")
    if option in IGNORED or (equals and key in IGNORED_KEYS) or key.startswith(("x-", "X-")):
        return found
    if option in PASSED_ON:
        return found if option in found.extra else replace(found, extra=(*found.extra, option))
    if option == "allow_other":
        return replace(found, allow_other=True)
    if key in ("config", "fsname", "uid", "gid", "metrics_listen"):
        if not value:
            raise ConfigError(f"-o {option}: a value is missing; write {key}=…")
        if key == "config":
            return replace(found, config=Path(value).expanduser())
        if key in ("fsname", "metrics_listen"):
            return replace(found, **{key: value})
        return replace(found, uid=_user(value)) if key == "uid" else replace(found, gid=_group(value))
    if sloppy:
        return found
    close = difflib.get_close_matches(key, [name.partition("=")[0] for name in KNOWN] + sorted(IGNORED | PASSED_ON), 1)
    hint = f"; did you mean '{close[0]}'?" if close else f"; known are {', '.join(KNOWN)} and those of mount(8)"
    raise ConfigError(f"-o {option}: unknown option{hint}")


def _user(value: str) -> int:
    if value.isdecimal():
        return int(value)
    try:
        return pwd.getpwnam(value).pw_uid
    except KeyError as error:
        raise ConfigError(f"-o uid={value}: there is no user of that name") from error


def _group(value: str) -> int:
    if value.isdecimal():
        return int(value)
    try:
        return grp.getgrnam(value).gr_gid
    except KeyError as error:
        raise ConfigError(f"-o gid={value}: there is no group of that name") from error


class Access(msgspec.Struct, frozen=True):
    """`[mount] access`: permission bits of archive files and folders, their group (None: the mount's), and whether
    others than the mounting user are let in at all.
    """

    file_mode: int = 0o600
    dir_mode: int = 0o700
    gid: int | None = None
    others: bool = False


def access(config: Config) -> Access:
    """What `access` means; ConfigError for an unknown one, or a group that is not there."""
    text = config.mount.access
    word, _, name = text.partition(":")
    source = config.sources[-1] if config.sources else "the configuration"
    if text == "me":
        return Access()
    if text == "everyone":
        return Access(0o644, 0o755, None, True)
    if word == "group" and name:
        try:
            gid = int(name) if name.isdecimal() else grp.getgrnam(name).gr_gid
        except KeyError as error:
            raise ConfigError(f"{source}: mount.access: there is no group '{name}'") from error
        return Access(0o640, 0o750, gid, True)
    raise ConfigError(f'{source}: mount.access: "me", "group:NAME" or "everyone" was expected, not "{text}"')


def with_defaults(parsed: Parsed, config: Config, file: Path | None) -> Parsed:
    """`parsed` with what the configuration says where the options say nothing.

    The source is the configuration file, so that `mount`, `umount` and fstab recognise the mount by it.
    """
    name = parsed.fsname or str(file or "")
    return msgspec.structs.replace(
        parsed,
        config=None,
        allow_other=parsed.allow_other or config.mount.allow_other or access(config).others,
        fsname=name if name and "," not in name else APP,
    )


def text(parsed: Parsed) -> str:
    """`parsed`, without `config`, as one `-o` argument: `parse([text(x)]) == x`."""
    words = [*parsed.extra, *(["allow_other"] if parsed.allow_other else [])]
    for key in ("uid", "gid"):
        value = getattr(parsed, key)
        words += [f"{key}={value}"] if value is not None else []
    words += [f"metrics_listen={parsed.metrics_listen}"] if parsed.metrics_listen else []
    words += [f"fsname={parsed.fsname}"] if parsed.fsname else []
    return ",".join(words)

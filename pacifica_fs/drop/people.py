"""As whom a bundle is submitted where one mount serves several users of this machine."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping

from ..config import ArchiveSettings
from ..model import Problem


def submitter(uid: int, users: Mapping[str, str], own: int | None = None) -> str:
    """The archive's login of who made a bundle: as `users` maps the login (or number) here, else the same login.

    "" leaves it to the sidecar and the archive's settings: the daemon's own user (`own`), unless mapped. Whoever else
    makes a bundle is not asked: a sidecar can claim anything.
    """
    if uid < 0:
        return ""
    name = _login(uid)
    return users.get(name) or users.get(str(uid)) or ("" if uid == (os.getuid() if own is None else own) else name)


def problems(uid: int, settings: ArchiveSettings) -> tuple[Problem, ...]:
    """Why a bundle of `uid` has no submitter."""
    if uid in (-1, os.getuid()) or submitter(uid, settings.users):
        return ()
    what = f"user {uid} has no login name on this machine, so nobody can be its submitter"
    return (Problem(what, f'set users = {{ "{uid}" = "LOGIN" }} in [archives.{settings.name}]'),)


def _login(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return ""

"""`pacifica-fs report`."""

from __future__ import annotations

import importlib.metadata
import io
import os
import platform
import re
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import click
import msgspec

from .. import __version__, config
from ..errors import PacificaFSError
from . import find, limited, snapshot
from .codes import Exit, Failed
from .output import remark
from .outside import MountPoint, Outside

HELP = """Collect what a bug report needs into one archive: versions, the configuration, the log, the stacks of the
daemon's threads, the states of uploads and downloads, mount options, and what `check` finds.

Secrets are taken out: values of secret keys, logins in addresses, and tokens. Names of files and projects are in it;
look it through before you send it.

\b
Examples:
  pacifica-fs report
  pacifica-fs report -o /tmp/report.tar.gz -m ~/archives
"""
FILES = ("log", "threads", "downloads.json", "cache.json", "metrics")
KEYS = "|".join((*sorted(config.SECRETS), "secret", "authorization", "apikey", "passwd"))
_SECRET = re.compile(rf"""(?i)((?:{KEYS})["']?\s*[:=]\s*)("[^"\n]*"|'[^'\n]*'|[^\s,}}\]"']+(?: [\w.~+/=-]+)?)""")
_LOGIN = re.compile(r"(\w+://)[^/\s@\"']+@")
SECONDS = 20.0


@click.command("report", help=HELP, short_help="Collect what a bug report needs, without secrets.")
@click.option(
    "-o", "--output", "target", type=Path, metavar="FILE", help="Default: pacifica-fs-report-TIME.tar.gz here."
)
@click.option("-m", "--mount", "dir", type=Path, metavar="DIR", help="Which mount, if several.")
@click.option("-c", "--config", "file", type=Path, metavar="FILE", help="The configuration.")
@click.pass_obj
def command(outside: Outside, target: Path | None, dir: Path | None, file: Path | None) -> Exit:
    """Collect."""
    moment = time.strftime("%Y%m%d-%H%M%S", time.localtime(outside.clock.now()))
    target = target or Path(f"pacifica-fs-report-{moment}.tar.gz")
    if target.exists():
        raise Failed(f"{target} is there already", Exit.FAILED)
    mount = find.mount(outside, dir, file)
    parts = {**_machine(mount), **_configuration(outside, mount, file), **_mounted(outside, mount, file)}
    parts["check.txt"] = _check(file or (snapshot.config_of(mount) if mount else None), outside.environ)
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream, tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, text in parts.items():
            data = redacted(text).encode("utf-8", "replace")
            entry = tarfile.TarInfo(f"pacifica-fs-report-{moment}/{name}")
            entry.size, entry.mtime, entry.mode = len(data), int(outside.clock.now()), 0o600
            archive.addfile(entry, io.BytesIO(data))
    click.echo(f"wrote {target}: {', '.join(parts)}")
    remark("secrets were taken out; look it through before you send it")
    return Exit.OK


def redacted(text: str) -> str:
    """`text` without secrets."""
    return _LOGIN.sub(r"\1***@", _SECRET.sub(r'\1"***"', text))


def _machine(mount: MountPoint | None) -> dict[str, str]:
    names = sorted(
        f"{each.metadata['Name']} {each.version}"
        for each in importlib.metadata.distributions()
        if each.metadata["Name"]
    )
    head = [f"pacifica-fs {__version__}", f"Python {sys.version}", platform.platform(), *names]
    parts = {"versions.txt": "\n".join(head) + "\n"}
    try:
        lines = Path("/proc/self/mountinfo").read_text(errors="replace").splitlines(True)
        parts["mounts.txt"] = "".join(line for line in lines if "pacifica-fs" in line)
    except OSError as error:
        parts["mounts.txt"] = f"{error}\n"
    return parts


def _configuration(outside: Outside, mount: MountPoint | None, file: Path | None) -> dict[str, str]:
    chosen = file or (snapshot.config_of(mount) if mount else None)
    files = [chosen] if chosen else [config.SYSTEM_FILE, config.user_file(outside.environ)]
    parts = {}
    for number, each in enumerate(files):
        try:
            parts[f"config{number or ''}.toml"] = f"# {each}\n{each.read_text(errors='replace')}"
        except OSError as error:
            parts[f"config{number or ''}.toml"] = f"# {each}: {error.strerror}\n"
    return parts


def _mounted(outside: Outside, mount: MountPoint | None, file: Path | None) -> dict[str, str]:
    """Status files, each with a time limit; what a mount that hangs does not tell, the journals and the kernel do."""
    parts: dict[str, str] = {}
    for name in FILES if mount else ():
        path = mount.path / "status" / name if mount else Path()
        try:
            parts[f"status/{name}"] = limited.call(path.read_bytes, SECONDS, name).decode("utf-8", "replace")
        except (OSError, PacificaFSError) as error:
            parts[f"status/{name}"] = f"cannot be read: {error}\n"
    try:
        seen = snapshot.look(outside, mount, file)
        parts["states.json"] = msgspec.json.format(msgspec.json.encode(seen), indent=1).decode() + "\n"
    except (OSError, PacificaFSError) as error:
        parts["states.json"] = f"cannot be read: {error}\n"
    if mount is not None:
        parts["daemon.txt"] = "\n".join(_daemon(mount)) + "\n"
    return parts


def _daemon(mount: MountPoint) -> Iterator[str]:
    """What the kernel knows of the daemon of `mount`: where its threads wait."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            if os.fsencode(mount.path) not in words or b"pacifica_fs" not in b" ".join(words):
                continue
            yield f"process {folder.name}"
            yield (folder / "status").read_text()
            for task in sorted((folder / "task").iterdir()):
                yield f"{task.name} {(task / 'comm').read_text().strip()}: {(task / 'wchan').read_text()}"
        except OSError:
            continue


def _check(file: Path | None, environ: Mapping[str, str]) -> str:
    words = [sys.executable, "-m", "pacifica_fs", "check", *(["-c", str(file)] if file else [])]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, env=dict(environ), check=False)
    except (OSError, subprocess.SubprocessError) as error:
        return f"{error}\n"
    return done.stdout + done.stderr

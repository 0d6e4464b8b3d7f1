"""`pacifica-fs demo`: everything once, for real, without a server."""

from __future__ import annotations

import filecmp
import json
import os
import random
import shutil
import tempfile
from pathlib import Path

import click

from . import demo_bare, examine
from .codes import Exit, Failed
from .output import Output, remark
from .outside import Outside
from .transcript import StepFailed, Transcript, complain, environment

HELP = """Mount a local archive, drop a folder, watch it become a transaction, read it back, and unmount.

Everything happens in DIR (default: a temporary folder, removed at the end); no server and no configuration is used, and
nothing of yours is touched. Each command is shown as you would type it and really run; each step is checked, and the
exit code is 0 only if all held. Where nothing can be mounted (no /dev/fuse) the same is shown by ls, cat and cp.

\b
Examples:
  pacifica-fs demo
  pacifica-fs demo ~/try --keep      # leaves everything in ~/try, mounted on ~/try/mnt
"""

CONFIG = """\
# A folder on this machine as an archive, no server at all.
[archives.here]
kind = "local"
path = "{folder}/archive"

[drop]
path = "{folder}/state"     # the spool: what was dropped and is not yet in an archive

[cache]
path = "{folder}/cache"
limit = "1 GiB"
"""
SIDECAR = {"project": "1234a", "instrument": 54, "keys": {"Tag": ["first", "demo"]}}
NAME = "run-42"


@click.command("demo", help=HELP, short_help="Try everything out, without a server.")
@click.option("--keep", is_flag=True, help="Leave the mount and all files, to play with.")
@click.option("--without-fuse", "without", is_flag=True, help="As where nothing can be mounted: by ls, cat and cp.")
@click.argument("dir", type=Path, required=False)
@click.pass_obj
def command(outside: Outside, keep: bool, without: bool, dir: Path | None) -> Exit:
    """Show everything."""
    folder = _folder(dir)
    demo = Demo(Transcript(folder, Output(), environment()))
    try:
        demo.prepare()
        missing = (
            ["--without-fuse was given"]
            if without
            else [each.text for each in examine.fuse(False) if each.level == "wrong"]
        )
        if missing:
            demo_bare.show(demo.transcript, NAME, missing)
            demo.transcript.say(f"All of it worked: {demo.transcript.checks} checks. For a mount: pacifica-fs check")
            return Exit.OK
        demo.mount()
        demo.upload()
        demo.read_back()
        demo.refusals()
        demo.status()
        if keep:
            demo.farewell()
        else:
            demo.unmount()
    except StepFailed as error:
        demo.log_tail()
        complain(str(error))
        return Exit.FAILED
    finally:
        if not keep:
            demo.clean_up(outside, made=dir is None)
    demo.transcript.say(f"All of it worked: {demo.transcript.checks} checks.")
    return Exit.OK


def _folder(dir: Path | None) -> Path:
    if dir is None:
        return Path(os.path.realpath(tempfile.mkdtemp(prefix="pacifica-fs-demo-")))
    folder = Path(os.path.abspath(dir.expanduser()))
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise Failed(f"{dir}: not empty; give a new or an empty folder", Exit.USAGE)
    return Path(os.path.realpath(folder))


class Demo:
    """The steps, in their order."""

    def __init__(self, transcript: Transcript) -> None:
        """All happens in the transcript's folder."""
        self.transcript = transcript
        self.folder = transcript.folder
        self.mnt = self.folder / "mnt"
        self.source = self.folder / NAME

    def prepare(self) -> None:
        """A configuration, a mount point and some data."""
        t = self.transcript
        (self.folder / "config.toml").write_text(CONFIG.format(folder=self.folder))
        self.mnt.mkdir()
        _make_data(self.source)
        t.say(f"A configuration, an empty folder to mount on, and some data to archive, in {self.folder}:")
        t.run("cat", "config.toml")
        t.run("find", NAME, "-type", "f")
        t.run("cat", f"{NAME}/metadata.json")

    def mount(self) -> None:
        """The mount, and what is in it."""
        t = self.transcript
        t.say("Mount it. The command returns when the mount answers.")
        t.run("pacifica-fs", "mount", "-c", "config.toml", "mnt")
        t.check("mnt is a mount point", os.path.ismount(self.mnt))
        t.run("ls", "mnt")
        t.check("it holds the archive, drop, status and a README", _names(self.mnt) == MOUNTED)
        t.run("ls", "mnt/here/transactions")
        t.check("the archive is empty", _names(self.mnt / "here" / "transactions") == set())

    def upload(self) -> None:
        """Copy the folder in and wait until it is a transaction."""
        t = self.transcript
        t.say("Archive the folder: copy it into drop/here. Its metadata.json says what it is.")
        t.run("cp", "-a", NAME, "mnt/drop/here/")
        t.check("cp succeeded, so the files are safe on this machine's disk", True)
        t.say("Say that it is complete (without this it goes when nothing was written for a while), and wait.")
        t.run("touch", f"mnt/drop/here/{NAME}/.commit")
        t.run("pacifica-fs", "wait", "-m", "mnt", f"here/{NAME}")
        status = self._status()
        t.check("its state is done", status["state"] == "done")
        t.check("it became a transaction", bool(status["transaction"]))

    def read_back(self) -> None:
        """The transaction, as files."""
        t = self.transcript
        transaction = f"mnt/{self._status()['path']}"
        t.say("The bundle is now a transaction of the archive. Read it like any folder.")
        listed = t.run("ls", "mnt/here/transactions").split()
        t.check("it is listed", {Path(transaction).name, f"{Path(transaction).name}.json"} <= set(listed))
        t.run("cat", f"{transaction}.json")
        t.run("find", transaction, "-type", "f")
        t.run("cp", "-r", transaction, "back")
        for path in _files(self.source):
            if path != "metadata.json":
                t.run("cmp", f"{NAME}/{path}", f"back/{path}")
                times = [(base / path).stat().st_mtime for base in (self.source, self.folder / transaction)]
                t.check(f"{path} came back byte for byte, with its time", int(times[0]) == int(times[1]))
        t.check("and nothing else", _files(self.folder / "back") == _files(self.source) - {"metadata.json"})

    def refusals(self) -> None:
        """What is not possible, and says so."""
        t = self.transcript
        transaction = f"mnt/{self._status()['path']}"
        t.say("An archive does not change, and the drop is write-only.")
        said = t.run("touch", f"{transaction}/new", fails=True)
        t.check("a write into the archive is refused", "Read-only file system" in said)
        said = t.run("cat", f"mnt/drop/here/{NAME}/notes.txt", fails=True)
        t.check("content cannot be read out of the drop", "Permission denied" in said)

    def status(self) -> None:
        """What status/ says."""
        t = self.transcript
        t.say("status/ says what happened; the command is the same for people.")
        t.run("ls", "-l", f"mnt/status/uploads/here/{NAME}")
        t.run("cat", f"mnt/status/uploads/here/{NAME}/receipt.json")
        linked = self.mnt / "status" / "uploads" / "here" / NAME / "transaction"
        t.check("the link leads to the transaction", (linked / "notes.txt").read_bytes() == NOTES.encode())
        t.run("cat", "mnt/status/archives/here.json")
        said = t.run("pacifica-fs", "status", "-m", "mnt")
        t.check("it lists the bundle as done", f"here/{NAME}" in said and "done" in said)

    def unmount(self) -> None:
        """The end."""
        t = self.transcript
        t.say("Unmount. The archive is a plain folder and stays readable without this program.")
        t.run("pacifica-fs", "umount", "mnt")
        t.check("mnt is an empty folder again", not os.path.ismount(self.mnt) and not _names(self.mnt))
        transaction = self.folder / "archive" / "transactions"
        t.run("find", "archive/transactions", "-type", "f")
        t.check(
            "the archive's files are the data",
            any(filecmp.cmp(path, self.source / "notes.txt", False) for path in transaction.rglob("notes.txt")),
        )

    def farewell(self) -> None:
        """Where everything was left."""
        self.transcript.say(
            f"Left mounted on {self.mnt}. When you are done: pacifica-fs umount {self.mnt}; rm -r {self.folder}"
        )

    def clean_up(self, outside: Outside, made: bool) -> None:
        """Unmount whatever is still mounted, and remove what was made here."""
        for mount in outside.mounts():
            if mount.path == self.mnt:
                outside.unmount(mount.path, True)
        if made and not os.path.ismount(self.mnt):
            shutil.rmtree(self.folder, ignore_errors=True)

    def log_tail(self) -> None:
        """The daemon's last lines, where there is a daemon."""
        try:
            lines = (self.mnt / "status" / "log").read_text().splitlines()
        except OSError:
            return
        for line in lines[-15:]:
            remark(f"  {line}")

    def _status(self) -> dict[str, object]:
        path = self.mnt / "status" / "uploads" / "here" / NAME / "status.json"
        try:
            found: dict[str, object] = json.loads(path.read_text())
        except OSError as error:
            raise StepFailed(f"the status of the bundle cannot be read: {error}") from error
        return found


MOUNTED = {"README.txt", "here", "drop", "status"}
NOTES = "Sample 7, second run; the stage drifted after frame 120.\n"


def _make_data(folder: Path) -> None:
    (folder / "frames").mkdir(parents=True)
    (folder / "notes.txt").write_text(NOTES)
    # Always the same bytes, so that two runs can be compared.
    (folder / "frames" / "frame 001.raw").write_bytes(random.Random(42).randbytes(4 << 20))
    (folder / "frames" / "été_θ=45°.csv").write_text("".join(f"{n},{n * n}\n" for n in range(1000)))
    (folder / "empty.dat").write_bytes(b"")
    (folder / "metadata.json").write_text(json.dumps(SIDECAR, indent=2) + "\n")
    for path in folder.rglob("*"):
        if path.is_file():
            os.utime(path, (1_700_000_000, 1_700_000_000))


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def _files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}

"""docs/troubleshooting.md is keyed by messages: each is one of the program's or the system's, and those have a key that
a user meets when he mounts, checks, reads or drops.
"""

import ast
import errno
import os
import re
from pathlib import Path

import pacifica_fs
from pacifica_fs import errors
from tests.unit.documents import document, rows

PACKAGE = Path(pacifica_fs.__file__).parent
TEXT = document("troubleshooting")
SHORT = 8
# Said by other programs, or by the parts of a sentence of the kernel.
SYSTEM = {os.strerror(number) for number in errno.errorcode}
# What programs do with these all the time, and what needs no explanation.
PLAIN = {"ENOENT", "EEXIST", "ENOTEMPTY", "EISDIR", "ENOTDIR", "ENAMETOOLONG", "EINVAL"}


def quoted():
    """The messages that the page quotes: bold ones, and those of its tables."""
    found = re.findall(r"^\*\*(.+?)\*\*.*? —", TEXT, re.MULTILINE)
    found += [cells[0] for cells in rows(TEXT) if cells[0] != "message"]
    return [message for cell in found for message in re.findall(r"`([^`]+)`", cell)]


def literals(tree):
    """The constant parts of each text of a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def parts(message):
    """What of a message does not change: without `…`, and without words in capitals, which stand for something."""
    return [part.strip(" :'\"`();") for part in re.split(r"…|\b[A-Z]{3,}\b|\b\d+\b|\[|\]", message)]


def test_every_quoted_message_is_really_said():
    # Adjacent pieces of an f-string are one constant each; a text that runs over several lines is joined by Python.
    said = "\n".join(text for file in PACKAGE.rglob("*.py") for text in literals(ast.parse(file.read_text())))
    said += "\n".join(SYSTEM)
    found = [(message, part) for message in quoted() for part in parts(message) if len(part) >= SHORT]
    assert len(found) > 30
    assert [(message, part) for message, part in found if part not in said] == []


def test_every_errno_of_ours_has_an_entry():
    found = {each.errno for each in _tree(errors.PacificaFSError)}
    for number in found:
        if errno.errorcode[number] not in PLAIN:
            assert os.strerror(number) in TEXT, errno.errorcode[number]


def test_every_reason_not_to_mount_has_an_entry():
    flat = re.sub(r"[A-Z]{3,}|`", "", TEXT)
    missing = []
    for file, call in (("mount/session.py", "MountError"), ("cli/examine.py", "wrong")):
        for message in _arguments(PACKAGE / file, call):
            pieces = [piece.strip(" :;,()") for piece in message if len(piece.strip(" :;,()")) >= SHORT]
            if pieces and not any(piece.split(";")[0].strip() in flat for piece in pieces):
                missing.append(f"{file}: {''.join(message)}")
    assert not missing, "\n".join(missing)


def _tree(kind):
    yield kind
    for each in kind.__subclasses__():
        yield from _tree(each)


def _arguments(file, call):
    """The constant pieces of the words with which `call` is made."""
    tree = ast.parse(file.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == call:
            pieces = list(literals(node.args[1 if call == "wrong" else 0]))
            if pieces:
                yield pieces

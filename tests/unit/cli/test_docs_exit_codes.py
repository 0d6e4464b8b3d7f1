"""docs/exit-codes.md against the code: the table of codes, and which command may end with which."""

import ast
import re
from pathlib import Path

import pacifica_fs.cli
from pacifica_fs.cli import codes
from pacifica_fs.cli.codes import Exit
from pacifica_fs.cli.main import COMMANDS
from pacifica_fs.cli.mount_helper import Code
from tests.unit.documents import document, rows

CLI = Path(pacifica_fs.cli.__file__).parent
TEXT = document("exit-codes")
ALWAYS = {Exit.OK, Exit.FAILED, Exit.USAGE, Exit.INTERRUPTED, Exit.BROKEN_PIPE}


def documented():
    """Codes by command, besides those that every command has."""
    found = {}
    for cells in rows(TEXT):
        if len(cells) == 3 and cells[0] != "command":
            for name in re.findall(r"`([\w-]+)`", cells[0]):
                found[name] = {Exit(int(number)) for number in re.findall(r"\d+", cells[1])}
    return found


def own(module):
    """The codes that the module of a command names, and the modules beside it that it imports."""
    tree = ast.parse((CLI / f"{module}.py").read_text())
    named, imported = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Exit":
            named.add(Exit[node.attr])
        if isinstance(node, ast.Attribute) and node.attr == "STATES":
            named |= set(codes.STATES.values())
        if isinstance(node, ast.Name) and node.id == "STATES":
            named |= set(codes.STATES.values())
        if isinstance(node, ast.ImportFrom) and node.level == 1:
            imported |= {node.module} if node.module else {each.name for each in node.names}
    return named, {name for name in imported - {"codes"} if (CLI / f"{name}.py").exists()}


def reachable(module, seen):
    """All codes that a command's module, or what it imports, names."""
    if module in seen:
        return set()
    seen.add(module)
    named, imported = own(module)
    return named.union(*(reachable(name, seen) for name in imported))


def test_the_table_is_that_of_the_help():
    found = {int(cells[0]): cells[1] for cells in rows(TEXT) if len(cells) == 2 and cells[0].isdigit()}
    assert found == {code.value: code.meaning for code in Exit}


def test_every_command_has_its_codes():
    found = documented()
    assert set(found) == set(COMMANDS)
    for name, named in found.items():
        module = name.replace("-", "_")
        assert own(module)[0] - ALWAYS <= named, name
        assert named <= reachable(module, set()), name


def test_the_codes_of_the_helper():
    line = TEXT[TEXT.index("`mount.pacifica-fs` has") :]
    assert {int(number) for number in re.findall(r"(?<![(\d])(\d+) ", line)} == {code.value for code in Code}

"""The rooms: imports go down only, and what stands side by side on a floor does not know of each other."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2] / "pacifica_fs"
FLOOR = {
    "model": 1, "errors": 1, "clock": 1, "paths": 1, "periods": 1,
    "archive": 2, "filetable": 2, "transport": 2, "config": 2,
    "content": 3, "tree": 3, "archives": 3,
    "mount": 4, "drop": 4, "events": 4,
    "service": 5,
    "cli": 6,
}  # fmt: skip
# On the lowest floors the order within the floor is part of the design.
ALLOWED = {("archive", "config"), ("transport", "config"), ("model", "errors"), ("periods", "errors")}


def room(parts: tuple[str, ...]) -> str:
    return parts[0].removesuffix(".py")


def imported(file: Path) -> set[tuple[str, ...]]:
    """Modules below pacifica_fs that `file` imports, as parts relative to it."""
    package = ("pacifica_fs", *file.relative_to(ROOT).parts[:-1])
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            target = (*base, *(node.module.split(".") if node.module else ()))
            found |= {(*target, alias.name) for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {tuple(alias.name.split(".")) for alias in node.names}
    return {parts[1:] for parts in found if parts[0] == "pacifica_fs" and len(parts) > 1}


def test_imports_go_down_only():
    wrong = []
    for file in sorted(ROOT.rglob("*.py")):
        here = file.relative_to(ROOT).parts
        if here[0] in ("__init__.py", "__main__.py"):
            continue
        mine = room(here)
        assert mine in FLOOR, f"{file}: this room is in no floor"
        for parts in imported(file):
            other = room(parts)
            if other not in FLOOR or other == mine:
                continue
            if FLOOR[other] >= FLOOR[mine] and (mine, other) not in ALLOWED:
                wrong.append(f"{'/'.join(here)} imports {'.'.join(parts)}")
    assert not wrong, "\n".join(wrong)


def test_kinds_do_not_know_of_each_other():
    kinds = ROOT / "archives"
    wrong = []
    for file in sorted(kinds.rglob("*.py")):
        mine = room(file.relative_to(kinds).parts)
        for parts in imported(file):
            if parts[0] == "archives" and len(parts) > 1 and room(parts[1:]) != mine:
                wrong.append(f"{file.name} imports {'.'.join(parts)}")
    assert not wrong, "\n".join(wrong)


def test_only_the_binding_imports_the_fuse_library():
    users = {str(f.relative_to(ROOT)) for f in ROOT.rglob("*.py") if "import mfusepy" in f.read_text()}
    assert users <= {"mount/binding.py"}

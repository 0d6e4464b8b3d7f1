"""What people install: the wheel, and the Debian package that `script/package` makes of it.

Nothing is downloaded here: what the program needs is that of this environment.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
NEEDED = sysconfig.get_path("purelib")
pytestmark = pytest.mark.timeout(180)


def run(*words, **more):
    done = subprocess.run(
        [str(word) for word in words], capture_output=True, text=True, timeout=120, check=False, **more
    )
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout


def environment(**more):
    """Without this checkout: its packages are found, but nothing that is installed from a folder."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PIP_"))}
    return {**kept, "PYTHONPATH": NEEDED, "PYTHONDONTWRITEBYTECODE": "1", **more}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "pacifica_fs", folder / "pacifica_fs", ignore=shutil.ignore_patterns("__pycache__"))
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", folder, folder)
    (made,) = folder.glob("*.whl")
    return made


def test_the_wheel_has_every_file_of_the_program(wheel):
    """And nothing else."""
    ours = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "pacifica_fs").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {name for name in names if ".dist-info/" not in name} == ours
    assert any(name.endswith(".service") for name in ours)


def test_the_wheel_in_a_fresh_environment(wheel, tmp_path):
    """`pip install` gives a program that works, with its units and man pages, and no source tree."""
    venv = tmp_path / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", venv)
    run(sys.executable, "-m", "pip", "--python", venv / "bin/python", "install", "-q", "--no-deps", wheel)
    home = environment(HOME=str(tmp_path), XDG_CONFIG_HOME=str(tmp_path / "config"))
    program = venv / "bin/pacifica-fs"
    assert run(program, "--version", env=home, cwd=tmp_path).startswith("pacifica-fs")
    where = run(venv / "bin/python", "-c", "import pacifica_fs; print(pacifica_fs.__file__)", env=home, cwd=tmp_path)
    assert where.startswith(str(venv))
    assert "README.txt" in run(program, "ls", env=home, cwd=tmp_path)
    run(program, "install", "--prefix", tmp_path / "usr", env=home, cwd=tmp_path)
    assert (tmp_path / "usr/lib/systemd/system/pacifica-fs@.service").is_file()
    assert (tmp_path / "usr/share/man/man1/pacifica-fs.1").is_file()


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    """The Debian package as dpkg lays it out, below a root of its own."""
    if not shutil.which("dpkg-deb"):
        pytest.skip("dpkg-deb is not here")
    folder = tmp_path_factory.mktemp("package")
    made = environment(PYTHON=sys.executable, PACIFICA_FS_BUILD="--no-build-isolation", PIP_NO_DEPS="1")
    package = Path(run(ROOT / "script/package", folder / "out", env=made).strip())
    assert package.parent == folder / "out"
    run("dpkg-deb", "-x", package, folder / "root")
    run("dpkg-deb", "-e", package, folder / "control")
    return folder


def test_the_debian_package(unpacked, tmp_path):
    control = (unpacked / "control/control").read_text()
    assert "Package: pacifica-fs\n" in control and "fuse3" in control
    root = unpacked / "root"
    for path in (
        "usr/bin/pacifica-fs",
        "usr/sbin/mount.pacifica-fs",
        "usr/lib/systemd/system/pacifica-fs@.service",
        "usr/share/man/man1/pacifica-fs.1",
        "usr/share/bash-completion/completions/pacifica-fs",
    ):
        assert (root / path).is_file(), path
    unit = (root / "usr/lib/systemd/system/pacifica-fs@.service").read_text()
    assert "ExecStart=/usr/bin/pacifica-fs mount -f" in unit
    text = [path.read_text(errors="replace") for path in (root / "usr/sbin").iterdir()] + [unit]
    assert not any(str(unpacked) in each or str(ROOT) in each for each in text)
    assert not list(root.rglob("__pycache__"))
    scripts = "".join((unpacked / "control" / name).read_text() for name in ("postinst", "postrm"))
    assert "rm " not in scripts, "removing never deletes a spool"


def test_the_program_of_the_debian_package_runs(unpacked, tmp_path):
    python = unpacked / "root/usr/lib/pacifica-fs/bin/python"
    home = environment(HOME=str(tmp_path))
    assert run(python, "-m", "pacifica_fs", "--version", env=home, cwd=tmp_path).startswith("pacifica-fs")
    where = run(python, "-c", "import pacifica_fs; print(pacifica_fs.__file__)", env=home, cwd=tmp_path)
    assert where.startswith(str(unpacked / "root"))
    assert "README.txt" in run(python, "-m", "pacifica_fs", "ls", env=home, cwd=tmp_path)

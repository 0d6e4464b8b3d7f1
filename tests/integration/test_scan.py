"""Programs that go through a transaction need few carts of the real site, whichever order they take."""

import os
import subprocess

import pytest

from tests.integration.test_mount_pacifica import Stand, digests
from tests.servers.faults import Reply
from tests.servers.pacifica.client import Client

pytestmark = [pytest.mark.mount, pytest.mark.pacifica, pytest.mark.timeout(180)]
NUMBER = 40


@pytest.fixture(scope="module")
def transaction(pacifica_site):
    client = Client(pacifica_site)
    files = {f"part{n % 3}/file{n:02}.dat": os.urandom(500) for n in range(NUMBER)}
    yield client.upload(files), files
    client.close()


@pytest.mark.parametrize("program", [["cp", "-r"], ["rsync", "-a"]])
def test_few_carts(pacifica_site, mounted, faulty, transaction, tmp_path, program):
    number, files = transaction
    stand = Stand(pacifica_site, mounted, faulty, ("policy", "cart"))
    source = f"{stand.path}/emsl/transactions/{number}" + ("/" if program[0] == "rsync" else "")
    subprocess.run([*program, source, tmp_path / "copy"], check=True, timeout=120)
    copied = {name: (tmp_path / "copy" / name).read_bytes() for name in digests(tmp_path / "copy")}
    assert copied == files
    assert stand.proxies["cart"].count("POST") <= NUMBER // 2


def test_a_batch_that_the_site_refuses_is_read_file_by_file(pacifica_site, mounted, faulty, transaction, tmp_path):
    number, files = transaction
    stand = Stand(pacifica_site, mounted, faulty, ("policy", "cart"))
    folder = stand.path / f"emsl/transactions/{number}/part0"
    names = sorted(os.listdir(folder))
    assert (folder / names[0]).read_bytes() == files[f"part0/{names[0]}"]
    stand.proxies["cart"].on(
        "HEAD", "", Reply(500, headers={"X-Pacifica-Status": "error", "X-Pacifica-Message": "no"}), times=6
    )
    for name in names[1:]:
        assert (folder / name).read_bytes() == files[f"part0/{name}"]

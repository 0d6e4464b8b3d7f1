"""`pacifica-fs fetch` of a whole transaction through real carts: the downloader's `transactioninfo()`."""

import os

import pytest

from tests.integration.test_mount_pacifica import Stand, digests
from tests.mount.test_drop_asking import cli
from tests.servers.faults import Reply
from tests.servers.pacifica.client import Client

pytestmark = [pytest.mark.mount, pytest.mark.pacifica, pytest.mark.timeout(180)]
NUMBER = 40


def test_a_transaction_is_fetched_by_few_carts_and_goes_on_where_it_was(pacifica_site, mounted, faulty, tmp_path):
    """`fetch PATH… [--to DIR] [--from-file LIST]` fetches whole transactions …, resumable, verified"""
    client = Client(pacifica_site)
    files = {f"part{n % 3}/file{n:02}.dat": os.urandom(500) for n in range(NUMBER)}
    number = client.upload(files)
    client.close()
    stand = Stand(pacifica_site, mounted, faulty, ("policy", "cart"))
    folder = stand.path / f"emsl/transactions/{number}"
    first = cli(stand.mount, "fetch", folder / "part1", "-q")
    assert "13 fetched, 0 there, 0 failed" in first
    second = cli(stand.mount, "fetch", f"{folder}/.", "--to", tmp_path / "copy", "--create", "-q")
    assert f"{NUMBER} copied, 0 there, 0 failed" in second
    assert stand.proxies["cart"].count("POST") <= NUMBER // 2
    copied = {name: (tmp_path / "copy" / name).read_bytes() for name in digests(tmp_path / "copy")}
    assert copied == files
    carts = stand.proxies["cart"].count("POST")
    assert f"0 fetched, {NUMBER} there, 0 failed" in cli(stand.mount, "fetch", folder, "-q")
    assert f"{NUMBER} verified" in cli(stand.mount, "verify", folder, "-q")
    assert stand.proxies["cart"].count("POST") == carts


def test_what_the_site_cannot_give_is_named_and_the_others_are_fetched(pacifica_site, mounted, faulty, tmp_path):
    client = Client(pacifica_site)
    number = client.upload({"a": b"alpha", "b": b"beta"})
    client.close()
    stand = Stand(pacifica_site, mounted, faulty, ("policy", "cart"))
    folder = stand.path / f"emsl/transactions/{number}"
    cli(stand.mount, "fetch", folder / "a")
    refusal = Reply(500, headers={"X-Pacifica-Status": "error", "X-Pacifica-Message": "no"})
    stand.proxies["cart"].on("HEAD", "", refusal, times=50)
    said = cli(stand.mount, "fetch", folder, "-q", code=1)
    assert f"{folder}/b: " in said and "0 fetched, 1 there, 1 failed" in said

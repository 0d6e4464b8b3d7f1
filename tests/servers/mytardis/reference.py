"""The reference site of the contract: every oddity once, under the ids that the contract names."""

from __future__ import annotations

from .site import EMBARGO, METADATA, PUBLIC, Parameter, ParameterName, ParameterSet, Site

BIG = 4 * 2**20
TOKEN = "t" * 30


def pattern(size: int, seed: int = 0) -> bytes:
    """Bytes of which no two MiB are alike."""
    block = bytes(range(256)) * 4096
    whole = b"".join((n + seed).to_bytes(8, "little") + block[8:] for n in range(size // len(block) + 1))
    return whole[:size]


def reference() -> Site:
    """admin (superuser), alice, bob, carol; 6 experiments, 5 data sets, 31 files."""
    site = Site()
    site.user("admin", superuser=True)
    for name in ("alice", "bob", "carol"):
        site.user(name)
    site.names = {
        1: ParameterName(1, "voltage", "Acceleration voltage", "kV"),
        2: ParameterName(2, "sample", "Sample"),
    }
    values = [Parameter(1, number=300.0), Parameter(2, string="ribosome µ")]
    beam = ParameterSet(1, "Beam", "http://example.org/beam", values)
    people = ["Alice Liddell", "Bob Βήτα"]
    site.experiment("Cryo EM: run 12/α", "alice", authors=people, parameter_sets=[beam], description="all of it")
    site.experiment("Open data", "alice", public_access=PUBLIC)
    site.experiment("Bob's own", "bob")
    site.experiment("Under embargo", "bob", public_access=EMBARGO)
    site.experiment("Only described", "bob", public_access=METADATA)
    site.experiment("Cryo EM: run 12/α", "alice")
    site.dataset("Raw frames", 1, directory="2024/05", parameter_sets=[beam])
    site.dataset("Results & notes (final)", 1, 2)
    site.dataset("Bob's frames", 3)
    site.dataset("Embargoed", 4)
    site.dataset("Described/only", 5)
    file = site.file
    file(1, "", "large.bin", pattern(BIG))
    for n in range(9):
        file(1, "frames/grid 0", f"frame_{n:03}.tif", pattern(1000, n), mimetype="image/tiff")
    file(1, "deep/er/and/deeper", "leaf.txt", b"leaf\n")
    file(1, None, "null-directory.txt", b"null\n")
    file(1, "", "with two  spaces.txt", b"spaces\n")
    file(2, "Ergebnisse/größe", "müller_日本.txt", "größe\n".encode(), sha512=True)
    file(2, "", 'a"b;c%20d.txt', b"quotes\n")
    file(2, "", "run#1?x=1&y=2.dat", b"query\n")
    file(2, "", "empty.dat", b"")
    file(2, "x", "index", b"a file\n")
    file(2, "x/index", "inside.txt", b"in a folder\n")
    file(2, "/lead/slash/", "led.txt", b"led\n")
    file(2, "v", "dup.txt", b"first\n", version=1)
    file(2, "v", "dup.txt", b"second\n", version=2)
    file(2, "", "plain.txt", b"plain\n", mimetype="text/plain")
    file(2, "", "unverified.dat", b"unverified\n", verified=False)
    file(2, "", "gone.dat", b"gone\n", gone=True)
    file(2, "", "no-object.dat", b"no object\n", verified=None)
    file(2, "", "tape.dat", b"from tape\n", box="tape-box", offline=True)
    file(3, "", "bobs.dat", b"bob's\n")
    file(4, "", "embargoed.dat", b"embargoed\n")
    file(5, "", "described.dat", b"described\n")
    file(2, "", "custom.dat", b"custom storage\n", box="custom-box")
    site.tokens[TOKEN] = 3
    return site

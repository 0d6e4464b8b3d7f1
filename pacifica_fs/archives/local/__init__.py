"""The kind `local`: an archive in a folder of this machine, without any server.

    ROOT/README.txt                            says what this is, to whoever finds it
    ROOT/format                                the version of this layout
    ROOT/transactions/17/transaction.json      all that is known: who, what, and each file's size, time and digest
    ROOT/transactions/17/files/…               the files, as plain files under their own names
    ROOT/bundles/ID                            which transaction an upload became
    ROOT/incoming/…                            uploads under way

Everything stays readable without this program. A transaction appears by one rename, after all of it was written and
fsynced; it never changes afterwards.
"""

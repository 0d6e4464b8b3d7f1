"""The commands: one module each, with `main` to choose one and `outside` as the only way to the rooms below.

`findings`, `limited`, `naming`, `output`, `options` and `snapshot` are what the commands share.
"""

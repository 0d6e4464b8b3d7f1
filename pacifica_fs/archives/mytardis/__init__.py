"""The kind `mytardis`: experiments, data sets and files of a MyTardis site."""

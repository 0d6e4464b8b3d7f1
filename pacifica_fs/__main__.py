"""`python -m pacifica_fs` is `pacifica-fs`."""

from .cli.main import main

if __name__ == "__main__":
    main()

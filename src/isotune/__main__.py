"""``python -m isotune``: the command line."""

from isotune.cli import main

if __name__ == "__main__":
    main()

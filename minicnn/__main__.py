"""The command line: `python -m minicnn`. See `minicnn.cli`."""

from minicnn.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())

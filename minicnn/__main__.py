"""The command line: `python -m minicnn`. See `minicnn.cli`."""

import sys

from minicnn.cli.main import main

if __name__ == "__main__":
    sys.exit(main())

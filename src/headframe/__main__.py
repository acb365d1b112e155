"""`python -m headframe` is `headframe`."""

import sys

from headframe.cli.main import main

if __name__ == "__main__":
    sys.exit(main())

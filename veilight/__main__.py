"""`python -m veilight`: the command line."""

import sys

from veilight.cli import main

if __name__ == "__main__":
    sys.exit(main())

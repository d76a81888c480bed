"""The command `python -m tfpose`, the same as `tfpose`."""

import sys

from tfpose.console import main

if __name__ == "__main__":
    sys.exit(main())

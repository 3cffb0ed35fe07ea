"""`python -m convsmith`."""

import sys

from convsmith.cli import main

sys.exit(main())

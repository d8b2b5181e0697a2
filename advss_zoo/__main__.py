"""`python -m advss_zoo` is `advss`."""

from advss_zoo.cli import main

main()

"""``python -m portafaas``."""

from portafaas.cli import main

main()

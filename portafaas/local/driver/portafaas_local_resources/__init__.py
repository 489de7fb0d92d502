"""The driver of resources on a developer's machine: SQLite, and files for secrets.

A package on its own: ``portafaas invoke --target`` puts its folder on the import path of the
vendor's runtime, where the package has nothing of portafaas but its runtime. Standard library only,
Python 3.10; it has two names, that of the folder and ``portafaas.local.driver``'s, so its modules
name each other from where they are. Addresses are ``<folder>/<kind>/<name>``; the folder holds
``resources.db``. A secret's is the path of the file with its value.
"""

from .messages import DEDUP, publish, send
from .objects import (
    delete,
    list_objects,
    read,
    read_range,
    signed_url,
    stat,
    write,
    write_parts,
)
from .rows import commit, get_row, query, scan, write_row
from .runs import run_status, signal_run, start_run, waited_for
from .secret_files import secret
from .store import RUN, RUN_FILE, database, now
from .tables import back
from .teller import TOLD, Teller, client

__all__ = [
    "DEDUP", "RUN", "RUN_FILE", "TOLD", "Teller", "back", "client", "commit", "database", "delete",
    "get_row", "list_objects", "now", "publish", "query", "read", "read_range", "run_status",
    "scan", "secret", "send", "signal_run", "signed_url", "start_run", "stat", "waited_for",
    "write", "write_parts", "write_row",
]  # fmt: skip

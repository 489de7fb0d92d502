"""Project templates of ``portafaas init``: data, no code of portafaas.

Each folder under ``starters`` is one template; ``{{name}}`` in a file is the service's name.
"""

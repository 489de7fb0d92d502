"""portafaas adapter of Example Functions, a platform that exists in these tests only.

A function is a callable ``entry(event, facts)`` of the package's module ``_portafaas``; ``event``
and what it returns are JSON objects (``events`` has their shapes). ``host`` is the platform.
"""

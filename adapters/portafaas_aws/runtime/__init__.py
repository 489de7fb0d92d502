"""Bridges from Lambda events to handlers, one module per trigger kind. Ships; stdlib only.

Each module has ``bind(function)``, which returns the callable that Lambda is told to call.
"""

"""Bridges from functions-framework requests to neutral handlers. Ships; stdlib only.

Every function, whatever its trigger, is an ``http`` function of the framework: one callable that
takes a ``flask.Request``. Each kind has a module with ``bind(function)``.
"""

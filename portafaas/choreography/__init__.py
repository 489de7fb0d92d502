"""What is wrong with how functions work together, although each is right by itself.

``flow`` looks at the plan alone, ``baseline`` and ``compatibility`` at how schemas change from one
build to the next, ``retries`` at who repeats what on one target. The rules for people:
``docs/choreography.md``.
"""

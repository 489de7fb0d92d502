"""portafaas: one manifest and plain Python handlers for AWS, Azure and Google Cloud functions.

This module ships inside every package that is built, so it holds the version and nothing else.
"""

__version__ = "0.1.0"

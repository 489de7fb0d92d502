"""The manifest (models only; ``portafaas.manifest.load`` reads one)."""

from portafaas.manifest.model import Manifest

__all__ = ["Manifest"]

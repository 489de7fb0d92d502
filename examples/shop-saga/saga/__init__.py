"""The shop as a saga."""

"""Bridges from the platform's events to neutral handlers. Ships; stdlib only."""

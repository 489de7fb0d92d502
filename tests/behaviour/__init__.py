"""One suite of what handlers rely on, run on every back end: see ``backends``, ``messaging``."""

"""Run a function straight from its sources, in a child process, with the shipped runtime."""

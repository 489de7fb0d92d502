"""A folder for the import path of processes that have no portafaas but its runtime."""

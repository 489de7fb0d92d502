"""The mark of what this process is at, under which effects are kept (``portafaas.local.driver``).

Not a variable of the environment: the C library keeps every value that one ever had, so that a
process that is at one message after the other would grow with each.
"""

#: "" for none: the variable that this process was started with says it.
current = ""

"""The conformance kit: what every adapter must do, as cases that any adapter can be run against.

``portafaas.testing.cases``    what is delivered to which function, and what must come of it
``portafaas.testing.service``  the functions the cases use, as a manifest
``portafaas.testing.project``  their handlers: data, never imported from here
``portafaas.testing.kit``      builds that service for one target and delivers cases to it
``portafaas.testing.suite``    the kit as a pytest class: an adapter's author subclasses it

Which cases run follows from the adapter's capability table; nothing is skipped. What an adapter
declares must work; what it does not declare must be refused.
"""

"""``portafaas dev``: the whole application on this machine.

``portafaas.dev.service``    one running application: what the command and the test kit start
``portafaas.dev.server``     the HTTP server: the functions' routes, and ours below ``/_portafaas/``
``portafaas.dev.instances``  processes of all functions, and how they are called
``portafaas.dev.pool``       those of one function
``portafaas.dev.worker``     such a process
``portafaas.dev.deliveries`` the dispatcher's thread: queues, topics, schedules, workflows
``portafaas.dev.activity``   what has happened, kept beside the store
``portafaas.dev.logs``       what is printed of it
``portafaas.dev.reload``     what is done when files change
``portafaas.dev.effects``    what invocations have sent and written
``portafaas.dev.findings``   what ``check`` says of the project, as it changes
``portafaas.dev.start``      what has to be there: packages, the port, the store
``portafaas.dev.clock``      the store's clock, real or virtual
"""

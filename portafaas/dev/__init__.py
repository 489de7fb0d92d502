"""``portafaas dev``: the whole application on this machine.

``portafaas.dev.service``    one running application: what the command and the test kit start
``portafaas.dev.server``     the HTTP server: the functions' routes, and ours below ``/_portafaas/``
``portafaas.dev.routing``    which function a request is for
``portafaas.dev.instances``  processes of functions, and how they are called
``portafaas.dev.worker``     such a process
``portafaas.dev.deliveries`` the dispatcher's thread: queues, topics, schedules, workflows
``portafaas.dev.activity``   what has happened, kept beside the store
``portafaas.dev.logs``       what is printed of it
``portafaas.dev.reload``     what is done when files change
``portafaas.dev.clock``      the store's clock, real or virtual
"""

"""``portafaas dev``: the whole application on this machine.

``portafaas.dev.service``    one running application: what the command and the test kit start
``portafaas.dev.server``     the HTTP server: the functions' routes, and ours below ``/_portafaas/``
``portafaas.dev.calls``      calls by the server and from Python, and their records
``portafaas.dev.instances``  processes of all functions, and how they are called
``portafaas.dev.pool``       those of one function; ``channel``: what they take requests from
``portafaas.dev.instance``   one of them, from outside; ``frames``, ``answers``: what is said
``portafaas.dev.worker``     one of them, from inside
``portafaas.dev.target``     the package of ``--as``; ``emulate``: its processes
``portafaas.dev.deliveries`` the dispatcher's thread: queues, topics, schedules, workflows
``portafaas.dev.recorder``   records of what it tells
``portafaas.dev.activity``   what has happened, kept beside the store (``record``, ``reading``)
``portafaas.dev.listener``   who is told of it as it happens
``portafaas.dev.logs``       what is printed of it, in the words of ``lines``
``portafaas.dev.changes``    what runs, and what is done when files change; ``reload`` watches them
``portafaas.dev.effects``    what invocations have sent and written
``portafaas.dev.findings``   what ``check`` says of the project, as it changes
``portafaas.dev.start``      what has to be there: packages, the port, the store
``portafaas.dev.clock``      the store's clock, real or virtual
``portafaas.dev.missed``     instants of schedules that fell while nothing ran
``portafaas.dev.api``        the JSON API of the dashboard, and the rest of ``api_*``
"""

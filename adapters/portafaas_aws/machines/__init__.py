"""The normal form of workflows as state machines of Step Functions.

| module | |
|---|---|
| ``words`` | paths, templates, conditions |
| ``scope`` | what the states of one scope share: names, variables, how errors are read |
| ``lowering`` | the machine of a workflow |
| ``common``, ``retries`` | what states of all kinds of steps share |
| ``calls``, ``groups``, ``flow`` | the states of each kind of step |
| ``text`` | a definition as the text in a template |
| ``limits`` | what Step Functions does not take |

``docs/adr/0024-workflows-on-aws.md`` says why it is as it is.
"""

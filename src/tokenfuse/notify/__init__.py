"""Notify: the alerts topic is the outbox; each integration delivers from it on its own, once per incident.

The order of reading: `contract` (what an integration is), `selection` (what is told to whom), `outbox` (what is due),
`courier` (send, retry, give up), `view` (the words), then one file per integration.
"""

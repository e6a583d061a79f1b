"""The HTTP API: what the command line asks and orders, for programs and pages (docs/api.md).

``application.Api`` is made by ``app`` and put on the application that ``http`` serves. Every replica
answers; only the leader acts on the cluster, so nothing here waits for it or decides anything.
"""

"""What the services share, in rooms. Modules directly in here (errors, units, log, ...) know none of the rooms.

From the bottom up: `files`, `domain`, `infra` and `migrations`, `archiving`, `media`, `service`. Each imports only rooms below it;
`tests/test_architecture.py` says which.
"""

"""Code that all services share. The modules directly in here (errors, units, log, ...) import none of the sub-packages.

From the bottom up: `files`, `domain`, `infra` and `migrations`, `archiving`, `media`, `service`. Each one imports only
sub-packages below it; `tests/test_architecture.py` holds the exact rules.
"""

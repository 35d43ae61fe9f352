"""The API's data types, as concrete msgspec Structs, one module per subject.

Sizes are bytes, percentages 0 to 100, times ISO 8601 in UTC. Fields are only ever added.
"""

"""What goes over the wire, as concrete msgspec Structs, a file per subject.

Sizes are bytes, percentages 0 to 100, times ISO 8601 in UTC. Fields are only ever added.
"""

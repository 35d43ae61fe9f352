"""How fast the product is, always beside a reference that is measured in the same run. `python -m benchmarks --help`."""

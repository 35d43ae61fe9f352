"""How fast the product is, always compared with a reference from the same run. `python -m benchmarks --help`."""

"""HTTP: bodies, ranges, headers, timeouts, and errors as problem documents. Imports no other package of the gateway."""

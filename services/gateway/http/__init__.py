"""HTTP itself: bodies, ranges, headers, time limits, and errors as problem documents. Imports no other room."""

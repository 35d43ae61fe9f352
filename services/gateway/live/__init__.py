"""Live updates for connected clients. Imports `jobs` and the packages below it."""

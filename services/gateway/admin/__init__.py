"""Users and background work. Imports `files` and the packages below it."""

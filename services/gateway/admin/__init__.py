"""Users and background work. Imports `files` and the rooms below."""

"""What is sent to connected clients as it happens. Imports `jobs` and the rooms below."""

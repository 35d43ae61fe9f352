"""The rules of jobs without any I/O: states, events, requests, retries, destination names. Imports `files` only for paths."""

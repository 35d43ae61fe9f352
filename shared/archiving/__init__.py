"""Archives of every format: made, listed, tested and extracted, foreign ones only in a limited child process. Imports `files`."""

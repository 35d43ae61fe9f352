"""Media files: information, quality and thumbnails, read only in a limited child process. Imports `files`."""

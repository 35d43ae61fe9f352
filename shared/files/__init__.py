"""Read, compare and delete files through directory handles. Imports only the modules directly in `shared`."""

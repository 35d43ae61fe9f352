"""Reading, comparing and deleting files through directory handles. Imports only the modules directly in `shared`."""

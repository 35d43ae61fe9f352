"""Schema changes in plain SQL, run by alembic. File names: NNNN_what.{py,sql}; one linear history."""

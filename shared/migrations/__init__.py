"""Schema changes: alembic runs them, plain SQL says them. File names: NNNN_what.{py,sql}; one linear history."""

"""Workspaces: files, uploads, packs, archives, media, quotas. Imports `jobs` and the packages below it."""

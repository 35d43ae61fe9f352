"""Jobs of every kind: requests, history, exports, and the services that answer questions. Imports `auth` and the rooms below."""

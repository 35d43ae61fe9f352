"""Jobs of every kind: requests, history, exports, and requests to the other services. Imports `auth` and the packages below it."""

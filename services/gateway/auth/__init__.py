"""Who may do what, and how often: logins, tokens, rights, limits. Imports `records` and the packages below it."""

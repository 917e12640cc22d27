"""How rows travel: from a store to the servers and folders that keep copies of it."""

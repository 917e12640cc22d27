"""`store watch`: the runs of a store in the terminal, live; textual is imported only in here."""

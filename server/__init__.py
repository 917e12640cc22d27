"""Where rows travel to: a store that other machines may write to and people may look at."""

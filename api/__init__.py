"""What people call: `init`, the live run and its config and summary, provenance, the command line."""

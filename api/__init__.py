"""What people call: `init`, the live run, config and summary, provenance, the command line."""

"""`store report`: runs as one HTML file with their charts, for a paper or a colleague."""

"""The pages: what a browser shows of a store or a server; web/ has templates, styles, scripts."""

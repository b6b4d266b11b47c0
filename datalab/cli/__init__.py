"""`datalab …`: one module per command, each with `register(app)`. Data goes to stdout, messages to stderr."""

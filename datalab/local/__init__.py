"""The one-command lab: a supervisor and the parts that it starts. Nothing is started at import."""

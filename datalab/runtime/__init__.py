"""What a process needs to run: settings, logs, health, metrics, serving, clock. Knows no broker and no database."""

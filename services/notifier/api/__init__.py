"""The notifier's REST, one router a file. Addresses and secrets are never in an answer, except a new secret once."""

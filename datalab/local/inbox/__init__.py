"""The local inbox: receives mail, Slack, Teams and webhook messages as the real ones would, and shows them.

It is a receiver of its own. It knows nothing of the notifier, nor of Kafka or Postgres.
"""

"""The lab's long-running services. They never import one another: they meet on Kafka and in Postgres."""

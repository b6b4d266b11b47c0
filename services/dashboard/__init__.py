"""Pages for people: reads the REST of the services and of Prefect, and holds no state of its own."""

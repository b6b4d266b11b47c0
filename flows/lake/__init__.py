"""The lake: datasets as data, the steps from a file to Gold, and the tables they write.

Decisions are pure functions; only the step modules (bronze, quality, quarantine, silver, gold, books) touch Spark,
and pyspark is imported when a session opens, so that registering a flow stays quick.
"""

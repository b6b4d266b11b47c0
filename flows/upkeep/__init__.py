"""Upkeep of the lake: backup, purge, OPTIMIZE, VACUUM, audit and statistics, as `flows.maintenance_flow` orders them.

Backup, restore and statistics read Delta without Spark, so that they work while it is down; what changes a table goes
through Spark, and only where a verified backup exists.
"""

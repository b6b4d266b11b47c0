"""Postgres for every process: engine, tables, migrations. The only place that names tables."""

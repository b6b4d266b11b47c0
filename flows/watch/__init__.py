"""The lab's health, looked at from outside: topics and lag, tables, services; what changed since the last look.

A look never raises for what it finds: a thing that does not answer is a finding. No Prefect and no Spark here.
"""

"""The demonstration: feeds the running lab real files and believes nothing but the systems themselves.

It takes no part in the story that it tells: it writes two files, then only reads Kafka, Prefect's API, the Delta
tables, the services' REST and the inbox.
"""

"""What is generated from the models and topics: JSON Schemas, the AsyncAPI document, `docs/events.md`."""

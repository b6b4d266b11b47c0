"""Objects in S3 stores, as they arrive: what a store tells on `lab.s3-notifications`, and what its buckets hold."""

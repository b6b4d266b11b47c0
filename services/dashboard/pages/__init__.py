"""The pages, thin: each asks the client, hands the answers to `views`, and places what comes back."""

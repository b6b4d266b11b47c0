"""The pages, thin: they ask the client, hand the answers to `views`, and place what comes back."""

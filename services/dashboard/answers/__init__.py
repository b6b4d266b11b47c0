"""What the dashboard reads of each service's answers: the fields that it shows, and no others."""

"""The monitor's REST, one router a file."""

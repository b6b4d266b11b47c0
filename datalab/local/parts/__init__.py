"""The parts of the lab, one module each. `datalab.local.plan` lists them."""

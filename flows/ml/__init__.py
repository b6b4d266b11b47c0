"""Learning from Gold: features, candidates, their judgement, MLflow's runs and registry, and scores of what is new.

Only `mlflow_server`, `experiment`, `logged_model` and `registry` talk to MLflow, only `gold` reads the lake; the rest
computes. pandas, scikit-learn and mlflow are imported inside functions, so that registering the flow stays quick.
"""

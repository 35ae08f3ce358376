"""What causes empathy in a model: patching, mediation and ablation on one vocabulary of sites."""

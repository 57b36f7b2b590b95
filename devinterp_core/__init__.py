"""Learning coefficients, posterior samplers and toy models of developmental interpretability."""

"""Who perturbs the inputs during training: the inner maximisation of eq. 1. One file an adversary."""

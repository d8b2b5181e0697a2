"""What is minimised: the loss l and the transform T of eq. 1. One file an objective."""

"""The paper's tables, figures and claims, with ours beside them."""

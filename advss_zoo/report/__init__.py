"""The page of `advss report`."""

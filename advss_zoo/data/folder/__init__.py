"""A folder of one's own images, or a table of them, as a data set.

listing: which files there are, and of which class and part. scan: what is in each, decoded once. division: what is
trained on, watched and judged with. prepared: the result in the cache, as the rest of the package reads it.
"""

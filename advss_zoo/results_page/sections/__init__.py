"""The parts of the page. Each module has a function `section`, whose part is left out where there is nothing in it."""

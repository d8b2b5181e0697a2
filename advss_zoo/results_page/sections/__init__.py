"""The parts of the page. Each module has a function `section` that returns None where there is nothing to show."""

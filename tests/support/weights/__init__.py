"""Small networks with random weights, in the layouts in which large ones are published."""

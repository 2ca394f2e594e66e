"""Training: one way to train a network on images, whatever its targets and its objective."""

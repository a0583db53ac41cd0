"""A trained model in use: its card, its training range, and predictions for new cells."""

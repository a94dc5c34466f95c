"""Position size, leverage and limits as pure functions."""

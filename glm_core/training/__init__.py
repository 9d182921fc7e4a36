"""Training the embedded model on posters that the program draws: one trainer per part, and the recipe."""

"""The recipe: posters drawn by the program, and one trainer for each part of a small GLM-Image."""

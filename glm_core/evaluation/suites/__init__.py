"""The suites, one per file: their tasks, what is measured in a picture, and its reward."""

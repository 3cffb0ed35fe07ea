"""What to run: a typed recipe, the built-in recipes, and what turns a recipe into a run."""

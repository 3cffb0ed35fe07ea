"""Recipes: the typed record, the built-in recipes, and the functions that choose and change a recipe."""

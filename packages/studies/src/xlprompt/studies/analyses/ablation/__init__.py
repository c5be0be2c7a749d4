"""The variants of a recipe, compared with the first of them."""

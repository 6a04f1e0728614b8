"""The live view: what has happened, reduced to what an operator must see."""

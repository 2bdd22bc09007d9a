"""A page on which a person sees texts, what models made of them, and what was found."""

"""How the embedded demonstration models are trained; in no package, never imported by serving."""

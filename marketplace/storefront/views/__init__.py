"""The pages. Each view reads the request, makes one call of a service or selector, and shows what came of it."""

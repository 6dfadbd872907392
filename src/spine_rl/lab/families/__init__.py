"""Task families, one a file: what a problem is, and how it is worked in a careful and in a hasty style."""

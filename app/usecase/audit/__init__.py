"""Looking at the books from above."""
